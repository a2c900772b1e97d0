#!/usr/bin/env bash
# Programs that print what they meet: the same under the C library's allocator and under ours, with its default and with
# other settings.
source "$SRC/scripts/tests/tap.sh"
programs=$OUT/allocator/tests/conformance

for program in calls operators exit_order fork_order thread_locals; do
    timeout 60 "$programs/$program" >"$TAP_TMP/wanted" 2>&1
    is "$program runs under the C library's allocator" "$?" 0
    for conf in "" small_limit:0 cache_bytes:0 mmap_threshold:4096 mmap_max:0,batch:1 count_requests:1 \
            harden:2,guard_min:1000000; do
        CELLMALLOC_CONF=$conf timeout 60 env LD_PRELOAD="$OUT/libcellmalloc.so" "$programs/$program" >"$TAP_TMP/got" 2>&1
        echo "status $?" >>"$TAP_TMP/got"
        ok "$program, the same under cellmalloc${conf:+ with $conf}" \
            diff <(cat "$TAP_TMP/wanted"; echo "status 0") "$TAP_TMP/got"
    done
done
CELLMALLOC_CONF=harden:2,guard_min:0 LD_PRELOAD="$OUT/libcellmalloc.so" "$programs/operators" >"$TAP_TMP/got" 2>&1
ok "operators, with a guard page behind every block" diff <("$programs/operators") "$TAP_TMP/got"

sized_delete() {
    (ulimit -c 0; CELLMALLOC_CONF=$1 LD_PRELOAD="$OUT/libcellmalloc.so" "$programs/sized_delete" 2>&1; echo "status $?") 2>&1
}
is "delete with the size of a base class is let pass" "$(sized_delete harden:1)" $'deleted\nstatus 0'
like "and found by harden:2" "$(sized_delete harden:2)" "cellmalloc: sized free with a size that the block does not have"
tap_end
