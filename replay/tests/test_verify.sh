#!/bin/bash
# Every check of `heaplay verify` finds the allocator that was broken for it, and finds nothing in sound ones.
source "$SRC/scripts/tests/tap.sh"
heaplay=$OUT/heaplay
trace=$TAP_TMP/mix.hpt
kinds=$TAP_TMP/kinds.hpt

# Small, but with every kind of call: zeroed, aligned, resized, looked at.
"$heaplay" generate mix -o "$trace" --ops 20000 --seed 3 || echo "Bail out! cannot make a trace"
"$OUT/replay/tests/make_kinds" "$kinds" || echo "Bail out! cannot make a trace"

finds() { # LIBRARY REGEX
    local said status
    said=$("$heaplay" verify "$kinds" --alloc "broken=$OUT/broken/lib$1.so" --timeout 5 2>&1); status=$?
    is "$1 ends in exit status 4" "$status" 4
    like "$1 is found for what it is" "$said" "$2"
}

ok "no fault, nothing found" "$heaplay" verify "$kinds" --alloc "sound=$OUT/broken/libnone.so"
finds null       'operation [0-9]+: (malloc|operator new) of [0-9]+ bytes returned NULL'
finds misaligned 'not aligned to [0-9]+'
finds overlap    'overlaps a live block'
finds dirty      'calloc of [0-9]+ bytes: byte [0-9]+ is -?[0-9]+, not 0'
finds lost       'realloc from [0-9]+ to [0-9]+ bytes lost the content at byte'
finds small      'malloc_usable_size is only'
finds generous   'overlaps a live block|overwritten'
finds unstable   'malloc_usable_size of a block of [0-9]+ bytes changed from [0-9]+ to [0-9]+ before'
finds errno      "free[a-z_]* changed errno to 22"
finds scribble   'was overwritten at byte 0'
finds crash      'crashed: killed by signal (4|5)'
finds partial    'aligned_alloc comes from .*, not from .*libpartial.so'
finds stranger   'does not export malloc'
said=$("$heaplay" verify "$kinds" --alloc "broken=$OUT/broken/libhang.so" --timeout 1 2>&1)
is "hang ends in exit status 4" $? 4
like "hang is a timeout" "$said" 'timeout: not done after 1 s'

# Debian's mimalloc 2.0.9 aligns memalign(512, 512) to 128 only, as a three-line program shows without heaplay.
for a in glibc cellmalloc jemalloc mimalloc tcmalloc; do
    if "$heaplay" list | grep -q "^$a .*installed"; then
        [ $a = mimalloc ] || ok "$a keeps the contract on every kind" "$heaplay" verify "$kinds" --alloc $a
        ok "$a keeps the contract on mixed sizes" "$heaplay" verify "$trace" --alloc $a
    else
        skip "$a keeps the contract" "not installed"
    fi
done
exits "null has nothing to verify" 4 "$heaplay" verify "$kinds" --alloc null
exits "no trace is a usage error" 2 "$heaplay" verify --alloc glibc
exits "a missing trace is a bad input" 3 "$heaplay" verify "$TAP_TMP/none.hpt" --alloc glibc
tap_end
