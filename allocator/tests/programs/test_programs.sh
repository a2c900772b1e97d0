#!/usr/bin/env bash
# Whole programs with cellmalloc preloaded: output and exit status are those under the C library's allocator.
# What is not installed is skipped. A version manager's shim for python3 would only measure bash: the system's is taken.
source "$SRC/scripts/tests/tap.sh"
cellmalloc=$(realpath "$OUT/libcellmalloc.so")
work=$TAP_TMP/work
mkdir "$work"
cd "$work" || exit 1

same() { # NAME PROGRAM SHELL-COMMAND
    local wanted got
    if ! command -v "$2" >/dev/null; then
        skip "$1" "$2 is not installed"
        return
    fi
    wanted=$(timeout 120 bash -c "$3" 2>&1; echo "status $?")
    got=$(CELL="env LD_PRELOAD=$cellmalloc" timeout 120 bash -c "export LD_PRELOAD=$cellmalloc; $3" 2>&1; echo "status $?")
    if [ "$wanted" != "$got" ]; then
        tap_note "$(diff <(echo "$wanted") <(echo "$got") | head -20)"
    fi
    [ "$wanted" = "$got" ] && [ -n "${wanted%%status*}" ]
    tap_say $? "$1"
}

cat >words.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node { struct node *left, *right; char *word; };
static struct node *add(struct node *n, const char *w)
{
    if (!n) { n = calloc(1, sizeof *n); n->word = strdup(w); return n; }
    int c = strcmp(w, n->word);
    if (c < 0) n->left = add(n->left, w); else if (c > 0) n->right = add(n->right, w);
    return n;
}
static size_t count(struct node *n) { return n ? 1 + count(n->left) + count(n->right) : 0; }
int main(void)
{
    struct node *root = NULL;
    char w[20];
    for (unsigned i = 0, x = 1; i < 50000; i++) { x = x * 1103515245u + 12345; snprintf(w, sizeof w, "%u", x >> 12); root = add(root, w); }
    printf("%zu\n", count(root));
    return 0;
}
END
cat >words.cpp <<'END'
#include <algorithm>
#include <iostream>
#include <map>
#include <regex>
#include <string>
int main()
{
    std::map<std::string, int> m;
    for (unsigned i = 0, x = 1; i < 5000; i++) { x = x * 1103515245u + 12345; m[std::to_string(x >> 20)]++; }
    std::regex r("1+2");
    std::cout << m.size() << ' ' << std::count_if(m.begin(), m.end(), [&](auto &p) { return std::regex_search(p.first, r); }) << '\n';
}
END
cat >words.py <<'END'
import collections, json, re, sqlite3, subprocess, sys, threading
words = [str(i * 7919 % 10007) for i in range(60000)]
counts = collections.Counter(words)
text = json.dumps({w: list(range(n)) for w, n in counts.items()})
found = []
def work(part):
    found.append((part, len(re.findall(r"1\d*2", text[part::4]))))
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
db = sqlite3.connect(":memory:")
db.execute("create table t(w text, n int)")
db.executemany("insert into t values(?,?)", sorted(counts.items()))
print(len(text), sorted(found), db.execute("select count(*), sum(n) from t").fetchall())
print(subprocess.run(["echo", "child"], capture_output=True).stdout)
print(sum(len(json.loads(text)) for _ in range(3)))
END
seq 1 60000 | sed 's/$/ some words to sort and to pack/' >lines

same "gcc compiles" gcc 'gcc -O1 -S -o - words.c'
same "g++ compiles" g++ 'g++ -O1 -S -o - words.cpp | md5sum'
same "clang compiles" clang 'clang -O1 -S -o - words.c'
gcc -O1 -o words words.c
same "a program of ours" gcc './words'
same "python3" /usr/bin/python3 '/usr/bin/python3 words.py'
same "python3 runs its own tests of threads and dicts" /usr/bin/python3 \
    '/usr/bin/python3 -c "import test.test_list" 2>/dev/null && /usr/bin/python3 -m unittest -q test.test_list test.test_dict 2>&1 | grep -E "^(OK|FAILED)" || echo not there'
same "perl" perl "perl -ne '\$n{\$_ % 977} .= \$_; END { print length(join(\"\", map { \$n{\$_} } sort keys %n)), qq(\\n) }' lines"
same "awk" awk "awk '{ n[\$1 % 977] = n[\$1 % 977] \$0 } END { for (i in n) t += length(n[i]); print t }' lines"
same "sort" sort 'sort -k1,1r --parallel=4 -S 1M lines | md5sum'
same "tar and xz" xz 'tar --sort=name --mtime=@0 --owner=0 --group=0 -c lines words.c | xz -T2 -1 | xz -dc | tar -xO | md5sum'
same "bash" bash 'for i in {1..3000}; do a[i]=$i$i; done; s=${a[*]}; echo ${#s} $(echo a | cat)'
same "sqlite3" sqlite3 "sqlite3 :memory: 'with recursive n(i) as (select 1 union all select i+1 from n where i<50000)
    select count(*), sum(length(x)), group_concat(distinct i%7) from (select i, hex(i*i)||i as x from n order by x)'"
same "git" git 'rm -rf r && git init -q r && cd r && cp ../lines ../words.* . && git add . &&
    GIT_AUTHOR_DATE="2000-01-01 0:0 +0" GIT_COMMITTER_DATE="2000-01-01 0:0 +0" git -c user.name=n -c user.email=e commit -qm m &&
    git repack -qadf && git fsck 2>/dev/null && git log --stat | cat && git cat-file --batch-all-objects --batch-check'
same "node" node 'node -e "let m = {}; for (let i = 0; i < 200000; i++) m[i * 7919 % 10007] = \"x\".repeat(i % 50); console.log(Object.keys(m).length, JSON.stringify(m).length)"'
same "ruby" ruby 'ruby -e "h = Hash.new; 100000.times { |i| h[i * 7919 % 10007] = (\"x\" * (i % 50)).upcase }; puts h.size, h.values.join.size"'
same "lua" lua 'lua -e "local t = {} for i = 1, 100000 do t[i * 7919 % 10007] = string.rep(\"x\", i % 50) end local n = 0 for _, v in pairs(t) do n = n + #v end print(n)"'
# php loads its extensions with RTLD_DEEPBIND, which takes them past any preloaded malloc: -n leaves them out.
same "php" php "php -n -r '\$a = []; for (\$i = 0; \$i < 200000; \$i++) \$a[\$i * 7919 % 10007] = str_repeat(\"x\", \$i % 50); echo count(\$a), \" \", strlen(serialize(\$a));'"
same "gdb" gdb "gdb -q -batch -ex 'info line main' -ex 'info functions count' ./words"
if command -v java >/dev/null && command -v javac >/dev/null; then
    echo 'public class W { public static void main(String[] a) { var m = new java.util.TreeMap<String,Integer>(); for (int i = 0; i < 100000; i++) m.merge("" + i * 7919 % 10007, 1, Integer::sum); System.out.println(m.size() + " " + m.firstKey()); } }' >W.java
    javac W.java
fi
if [ -e W.class ]; then
    same "java" java 'java -Xmx128m W'
else
    skip "java" "java or javac is not installed"
fi

# redis: an instance of our own on a socket, under load.
redis() { # what the server answers after a fixed load
    local socket=$work/redis.sock server
    rm -f "$socket"
    env ${1:+LD_PRELOAD="$1"} redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --maxmemory 200mb \
        --dir "$work" --daemonize no --logfile "$work/redis.log" &
    server=$!
    for _ in $(seq 100); do [ -S "$socket" ] && break; sleep 0.1; done
    timeout 60 redis-benchmark -s "$socket" -q -n 20000 -c 20 -P 16 -d 300 -r 5000 -t set,get,lpush,lpop,sadd,hset,zadd >"$work/load" 2>&1
    echo "load $?"
    redis-cli -s "$socket" eval 'for i = 1, 20000 do redis.call("set", "k" .. i, string.rep("x", i % 700)) end
        local n = 0 for i = 1, 20000, 7 do n = n + redis.call("strlen", "k" .. i) end return n' 0
    redis-cli -s "$socket" --no-raw del mylist
    redis-cli -s "$socket" flushall
    redis-cli -s "$socket" dbsize
    redis-cli -s "$socket" shutdown nosave
    wait "$server"
    echo "status $?"
}
if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
    is "redis-server under load" "$(redis "$cellmalloc" 2>&1)" "$(redis "" 2>&1)"
else
    skip "redis-server under load" "redis-server is not installed"
fi
tap_end
