# Associative arrays, splits and substitutions.
{
    for (i = 1; i <= NF; i++) { count[$i]++; pair[$i, $(i - 1)]++ }
    line = $0; gsub(/[aeiou]+/, "<&>", line); kept[NR % 5000] = line
    if (NR % 3000 == 0) { for (key in pair) if (pair[key] < 2) delete pair[key] }
}
END {
    n = asorti(count, names)
    for (i = 1; i <= n; i++) total += length(names[i]) * count[names[i]]
    for (key in pair) pairs++
    for (key in kept) size += length(kept[key])
    print n, total, pairs, size
}
