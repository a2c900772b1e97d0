#!/usr/bin/env bash
# test_explain.sh - what explain says of the kinds of blocks, MALLOC_PERTURB_ from outside, and glibc's figures under LD_PRELOAD.
. "$SRC/scripts/tests/tap.sh"

explain=$OUT/allocator/tools/explain
exits "no size is a mistake of usage" 2 "$explain"
exits "a word is no size" 2 "$explain" many
exits "blocks with records are not explained" 2 env CELLMALLOC_CONF=harden:2 "$explain" 200
exits "a size beyond memory fails" 1 "$explain" 0x7fffffffffffffff

said=$("$explain" 40)
like "a small block is a cell" "$said" "size +cell of 48, without a header word"
like "its page is a pool that has some" "$said" "pools +the fullest page of 48-byte cells"
like "after its free it waits in the cache" "$said" "cache +keeps it, still marked in use"
like "which hands it out again" "$said" "cache +hands out the block freed last"
like "emptying the cache gives it to its pool" "$said" "pools +free in its pool"
said=$("$explain" 64)
like "a size without a pool makes one" "$said" "pools +no page of 64-byte cells has free ones"
like "a pool without live cells is dissolved" "$said" "pools +the last cell of a pool came back: 1 dissolved"
like "a cell is drawn among cells" "$said" "\| cell +\| cell_cached +\|"
like "and its pool among chunks" "$said" "\| chunk_free +\| pool +\| top +\|"
said=$("$explain" 600)
like "a larger block is a chunk" "$said" "size +chunk of 608"
like "best fit takes the smallest with room" "$said" "best fit +free chunks: 32 320 2512 5008; the smallest with room for 608 is the one of 2512"
like "it is split off" "$said" "split +what is left over stays free \(1x\)"
like "its header word is decoded" "$said" "= size 608 \| in use \| previous in use \| seal that fits"
like "its free waits" "$said" "\| chunk +\| chunk_waiting +\| chunk_free +\|"
like "for the same size" "$said" "waiting +a freed chunk of exactly 608 has not coalesced yet"
like "and merges later" "$said" "coalescing +merged with the 1904 free behind it: free chunk of 2512"
like "beyond that a free merges at once" "$("$explain" 4500)" "coalescing +merged with the 496 free behind it: free chunk of 5008"
like "what no free chunk holds is cut from the top" "$("$explain" 100000)" "none has room for 100016, so it comes from the top"
like "which its free joins again" "$("$explain" 100000)" "coalescing +nothing is in use behind it: it joins the top"
said=$("$explain" 5000000)
like "a very large block is mapped" "$said" "mappings +none is kept from an earlier free: the system maps 5001216"
like "and unmapped" "$said" "mappings +unmapped: the system has all of it back"
said=$(CELLMALLOC_CONF=cache_bytes:0,defer:0 "$explain" 600; CELLMALLOC_CONF=cache_bytes:0,defer:0 "$explain" 40)
not_ok "without caches and waiting none is told of" grep -E "hands out the block freed last|chunk_waiting" <(echo "$said")
like "but of a merge at once" "$said" "coalescing +merged with the 1904 free behind it"

"$explain" 200 "$TAP_TMP/dump.json" > "$TAP_TMP/said"
like "the dump is written while the block lives" "$(cat "$TAP_TMP/dump.json")" '^\["?chunk", |\["chunk", 8, '

is "programs work with MALLOC_PERTURB_" "$(MALLOC_PERTURB_=85 LD_PRELOAD=$OUT/libcellmalloc.so sort <<<$'b\na')" $'a\nb'
tap_end
