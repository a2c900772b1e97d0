#!/usr/bin/env bash
# Where the released library lies in memory: what every process needs of it, in as few pages as cold.ld promises.
source "$SRC/scripts/tests/tap.sh"
library=$OUT/libcellmalloc.so

# The segment with this number: address, bytes in the file, bytes in memory.
load() { readelf -lW "$library" | awk '$1 == "LOAD" { print $3, $5, $6 }' | sed -n "$1p"; }
# Address and size of a section; address of a symbol.
section() { readelf -SW "$library" | sed 's/^ *\[ *[0-9]*\] *//' | awk -v name="$1" '$1 == name { print "0x" $3, "0x" $5 }'; }
address() { nm "$library" | awk -v name="$1" '$3 == name || index($3, name ".lto_priv") == 1 { print "0x" $1 }'; }

read -r start size < <(section .rodata)
ok "code and constants of a program's start lie within the first 64 KiB" test $((start + size)) -le 65536
resident() {
    LD_PRELOAD=$library cat /proc/self/smaps |
        awk -v name="$library" '/^[0-9a-f]+-/ { code = $NF == name && $2 == "r-xp" } code && $1 == "Rss:" { print $2 }'
}
ok "and a program needs no others: $(resident) KiB" test "$(resident)" -le 64
read -r start in_file in_memory < <(load 2)
ok "what the loader writes to ends with bytes to clear" test $((in_memory)) -gt $((in_file))
is "and is a single page" $((start / 4096)) $(((start + in_memory - 1) / 4096))
read -r start _ < <(load 3)
heap=$(address cell_heap_main)
ok "the heap begins in the first page of the variables' own segment" \
    test $((heap)) -ge $((start)) -a $((heap)) -lt $((start + 4096))
line() { echo $(($(address "$1") / 64)); }
read -r start size < <(nm -S "$library" | awk '$4 ~ /^watch_main/ { print "0x" $1, "0x" $2 }')
is "what proves that sizes recur lies in one page" $((start / 4096)) $(((start + size - 1) / 4096))
ok "and the number of arenas with what every program writes to" test "$(($(address cell_arena_last) / 4096))" -eq $((heap / 4096))
ok "what the depot counts is where it is looked for" test -n "$(address total)"
written=$(line total)
for read in cell_option cell_freed_secret cell_chunk_secret cell_tcache_class_limit_now cell_heap_main; do
    not_ok "what the depot counts lies in no cache line that every call reads: $read" test "$(line $read)" -eq "$written"
done
tap_end
