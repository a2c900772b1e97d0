#!/usr/bin/env bash
# test_explain.sh - what explain says of the kinds of blocks, MALLOC_PERTURB_ from outside, and glibc's figures under LD_PRELOAD.
. "$SRC/scripts/tests/tap.sh"

explain=$OUT/allocator/tools/explain
exits "no size is a mistake of usage" 2 "$explain"
exits "a word is no size" 2 "$explain" many
exits "a size beyond memory fails" 1 "$explain" 0x7fffffffffffffff

said=$("$explain" 40)
like "a small block is a cell" "$said" "size class +cell of 48, without a header word"
like "its page is a pool" "$said" "pool of 48-byte cells"
like "after its free it waits in the cache" "$said" "now +in the thread's cache"
like "emptying the cache gives it to its pool" "$said" "now +free in its pool"
said=$("$explain" 1400)
like "a larger block is a chunk" "$said" "size class +chunk of 1408"
like "it is split off" "$said" "events +1 splits"
like "its header word is decoded" "$said" "= size 1408 \| in use \| previous in use \| seal that fits"
like "its free merges" "$said" "events +1 merges"
said=$("$explain" 5000000)
like "a very large block is mapped" "$said" "served by +the system: a mapping"
like "and unmapped" "$said" "now +unmapped"

"$explain" 100 "$TAP_TMP/dump.json" > "$TAP_TMP/said"
like "the dump is written while the block lives" "$(cat "$TAP_TMP/dump.json")" '^\["?chunk", |\["chunk", 8, '

is "programs work with MALLOC_PERTURB_" "$(MALLOC_PERTURB_=85 LD_PRELOAD=$OUT/libcellmalloc.so sort <<<$'b\na')" $'a\nb'
tap_end
