-- Tables, closures, strings and coroutines. usage: tables.lua FILE
local count, chains, lines = {}, {}, {}
local function reader(path)
    return coroutine.wrap(function()
        for line in io.lines(path) do
            local words = {}
            for word in line:gmatch("%a+") do words[#words + 1] = word end
            coroutine.yield(line, words)
        end
    end)
end
for line, words in reader(arg[1]) do
    for i, word in ipairs(words) do
        count[word] = (count[word] or 0) + 1
        chains[word] = {next = chains[words[i - 1]] and {word = words[i - 1]}, at = i}
    end
    lines[#lines + 1] = table.concat(words, "/"):upper() .. line:gsub("[aeiou]", "%0%0")
    if #lines > 3000 then
        local kept = {}
        for i = 1, #lines, 4 do kept[#kept + 1] = lines[i] end
        lines = kept
    end
end
local names = {}
for name in pairs(count) do names[#names + 1] = name end
table.sort(names, function(a, b)
    if count[a] ~= count[b] then return count[a] > count[b] end
    return a < b
end)
print(#names, names[1], names[2], #table.concat(lines))
