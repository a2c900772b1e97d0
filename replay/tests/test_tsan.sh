#!/bin/bash
# ThreadSanitizer watches the parallel replay: the waits of a plan order every access to a slot, and without the waits it
# finds races (so that its silence means something). The null allocator, because the sanitizer brings its own malloc.
source "$SRC/scripts/tests/tap.sh"
dir=$TAP_TMP/bin
mkdir -p "$dir" && cp "$OUT/heaplay" "$dir/" && cp -r "$SRC/replay" "$TAP_TMP/replay"
"$OUT/replay/tests/make_kinds" "$TAP_TMP/eight.hpt" 8 || echo "Bail out! cannot make a trace"
export TSAN_OPTIONS=exitcode=66

build() { # the worker of $TAP_TMP/replay, under ThreadSanitizer
    (cd "$TAP_TMP" && ${CC:-cc} -std=gnu11 -O1 -g -fsanitize=thread -D_GNU_SOURCE -Ireplay -o "$dir/heaplay-worker" \
        replay/engine/worker*.c replay/measure/resident.c \
        replay/measure/counters.c -lpthread -ldl)
}

if ! build 2>/dev/null; then
    skip "ThreadSanitizer agrees" "the compiler has none"
    tap_end
fi
for window in 20 0 8192; do
    said=$("$dir/heaplay" replay "$TAP_TMP/eight.hpt" --alloc null --samples 2 --loops 2 --window $window 2>&1)
    is "no race with a window of $window" $? 0
done
"$dir/heaplay" generate mix --threads 8 --ops 20000 -o "$TAP_TMP/mix.hpt"
said=$("$dir/heaplay" replay "$TAP_TMP/mix.hpt" --alloc null --samples 2 --loops 2 --plan-memory 64K 2>&1)
is "no race between sections that are read from disk" $? 0
like "there were many" "$said" 'read from disk in [0-9]{2} sections'
sed -i 's/case OP_WAIT: .*/case OP_WAIT: break;/' "$TAP_TMP/replay/engine/worker_loop.c"
build
said=$("$dir/heaplay" replay "$TAP_TMP/eight.hpt" --alloc null --samples 2 --window 0 2>&1)
is "without the waits" $? 4
like "it finds a race" "$said" 'exit status 66'
tap_end
