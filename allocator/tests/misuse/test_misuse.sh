#!/usr/bin/env bash
# Each program of this directory ends as its first comment says, and under harden:2 as its second one says if it has one:
# `always`, `at flush` and `at exit` by SIGABRT with exactly that line on stderr, `unmapped` and `fault` by SIGSEGV, `reads` and
# `not caught` with exit status 0 and what it read, so that the table of README.md stays honest.
source "$SRC/scripts/tests/tap.sh"
ulimit -c 0

wanted() { # WHAT THE COMMENT SAYS: "STATUS: WHAT IS ON STDERR"
    case $1 in
        "always: "*|"at flush: "*|"at exit: "*) echo "134: cellmalloc: ${1#*: }" ;;
        "unmapped"*|"fault: "*)                 echo "139: " ;;
        "reads: "*)                             echo "0: ${1#*: }" ;;
        "not caught")                           echo "0: " ;;
        *)                                      echo "a comment that says how it ends" ;;
    esac
}

said() { # PROGRAM LEVEL
    local status=$({ CELLMALLOC_CONF=harden:$2 "$OUT/allocator/tests/misuse/$1" 2>"$TAP_TMP/said" >/dev/null; echo $?; } 2>/dev/null)
    echo "$status: $(cat "$TAP_TMP/said")"
}

for source in "$SRC"/allocator/tests/misuse/*.c; do
    name=$(basename "$source" .c)
    first=$(sed -nE '1s|^/\* (.*) \*/$|\1|p' "$source")
    second=$(sed -nE '2s|^/\* harden:2 (.*) \*/$|\1|p' "$source")
    is "$name" "$(said "$name" 1)" "$(wanted "$first")"
    is "$name, harden:2" "$(said "$name" 2)" "$(wanted "${second:-$first}")"
    printf '%s 3\n%s 4\n' "${first%%:*}" "$(sed 's/:.*//' <<<"${second:-$first}")" >>"$TAP_TMP/kinds"
    printf '| `%s` | %s | %s |\n' "$name" "$first" "${second:-the same}" >>"$TAP_TMP/table"
done

# The table of README.md says the same as the programs.
is "README.md lists every program and how it ends" "$(grep '^| `' "$SRC/allocator/tests/misuse/README.md")" "$(cat "$TAP_TMP/table")"

# And so does the table of DESIGN.md, which counts them: column 3 by default, column 4 under harden:2.
design=$SRC/allocator/DESIGN.md
like "DESIGN.md says how many there are" "$(cat "$design")" "lists $(ls "$SRC"/allocator/tests/misuse/*.c | wc -l) programs"
for kind in always "at flush" "at exit" fault unmapped reads "not caught"; do
    is "DESIGN.md counts: $kind" "$(awk -F' *[|] *' -v kind="$kind" '$2 == kind { print $4, $5 }' "$design")" \
        "$(grep -cx "$kind 3" "$TAP_TMP/kinds") $(grep -cx "$kind 4" "$TAP_TMP/kinds")"
done
tap_end
