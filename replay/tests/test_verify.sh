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

# What a sound allocator writes to stderr is printed, once for each and not all of it.
chatty="$OUT/broken/libchatty.so"
said=$("$heaplay" verify "$kinds" --alloc "one=$chatty" --alloc "other=$chatty@CHATTY=2" 2>&1 >/dev/null)
is "verify prints what each allocator says" "$said" "heaplay: one says: chatty: here I am
heaplay: other@CHATTY=2 says: chatty: here I am
heaplay: other@CHATTY=2 says: chatty: here I am"
said=$("$heaplay" replay "$kinds" --samples 3 --alloc "one=$chatty" --alloc "flood=$chatty@CHATTY=9000" 2>&1 >/dev/null)
is "replay prints it once, for all of its samples" "$(grep -c '^heaplay: one says: chatty: here I am$' <<<"$said")" 1
is "and of many lines the first four" "$(grep -c '^heaplay: flood@CHATTY=9000 says: chatty: here I am$' <<<"$said")" 4
is "and nothing else" "$(wc -l <<<"$said")" 5
said=$("$heaplay" replay "$kinds" --samples 3 --alloc "late=$chatty@CHATTY_AFTER=$TAP_TMP/spoken" 2>&1 >/dev/null)
is "who is silent at first is heard later" "$said" "heaplay: late@CHATTY_AFTER=$TAP_TMP/spoken says: chatty: here I am"
if [ -e "$OUT/libcellmalloc.so" ]; then
    like "a misspelt tunable is told" "$("$heaplay" verify "$kinds" \
        --alloc "cell=$OUT/libcellmalloc.so@CELLMALLOC_CONF=cach_bytes:0" 2>&1 >/dev/null)" '^heaplay: cell@.* says: .*no such tunable'
fi

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
