#!/usr/bin/env bash
# Programs that print what they meet: the same under the C library's allocator and under ours, with its default and with
# other settings.
source "$SRC/scripts/tests/tap.sh"
programs=$OUT/allocator/tests/conformance

for program in calls operators exit_order; do
    timeout 60 "$programs/$program" >"$TAP_TMP/wanted" 2>&1
    is "$program runs under the C library's allocator" "$?" 0
    for conf in "" small_limit:0 cache_bytes:0 mmap_threshold:4096 mmap_max:0,batch:1; do
        CELLMALLOC_CONF=$conf timeout 60 env LD_PRELOAD="$OUT/libcellmalloc.so" "$programs/$program" >"$TAP_TMP/got" 2>&1
        echo "status $?" >>"$TAP_TMP/got"
        ok "$program, the same under cellmalloc${conf:+ with $conf}" \
            diff <(cat "$TAP_TMP/wanted"; echo "status 0") "$TAP_TMP/got"
    done
done
tap_end
