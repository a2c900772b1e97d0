#!/bin/bash
# `heaplay replay` and `list` as a user meets them: results, documents, refusals and their exit codes.
source "$SRC/scripts/tests/tap.sh"
heaplay=$OUT/heaplay
python=/usr/bin/python3
kinds=$TAP_TMP/kinds.hpt
four=$TAP_TMP/four.hpt
many=$TAP_TMP/many.hpt
"$OUT/replay/tests/make_kinds" "$kinds" && "$OUT/replay/tests/make_kinds" "$four" 4 &&
    "$OUT/replay/tests/make_kinds" "$many" 64 || echo "Bail out! cannot make traces"

json() { # FILE EXPRESSION over d (document) and r (rows by allocator)
    $python -c "
import json, sys
d = json.load(open(sys.argv[1]))
r = {row['allocator']: row for row in d['rows']}
print($2)" "$1" 2>&1
}

# One thread
doc=$TAP_TMP/one.json
ok "replay of one thread" "$heaplay" replay "$kinds" --alloc glibc --alloc bump --samples 6 --seed 1 --json "$doc"
ok "its document matches the schema" $python -c "
import json, jsonschema, sys
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))" "$doc" "$SRC/results/schema.json"
is "the null allocator always runs" "$(json "$doc" 'sorted(r)')" "['bump', 'glibc', 'null']"
is "every figure has its samples" "$(json "$doc" 'len(r["glibc"]["ns_per_op"]["samples"])')" 6
is "samples are paired by block" "$(json "$doc" 'r["glibc"]["blocks"] == r["null"]["blocks"]')" True
is "six samples give an interval" "$(json "$doc" 'r["glibc"]["ns_per_op"]["interval"][:4]')" "95 %"
is "the C library's identity is proved" "$(json "$doc" 'd["allocators"]["glibc"]["identity"]')" proved
is "usable bytes are at least the requested" \
    "$(json "$doc" 'r["glibc"]["usable_bytes_at_peak"] >= r["glibc"]["peak_live_bytes"] > 0')" True
is "the curve ends at the last operation" "$(json "$doc" 'r["glibc"]["curve"][-1]["operation"] > 3900')" True
is "the curve's peak of live bytes is near the true one" \
    "$(json "$doc" 'max(p["live_bytes"] for p in r["glibc"]["curve"]) > 0.9 * r["glibc"]["peak_live_bytes"]')" True
is "touched memory is resident" \
    "$(json "$doc" 'r["glibc"]["peak_rss_kib"]["median"] * 1024 > 0.7 * r["glibc"]["peak_live_bytes"]')" True
is "the harness stays out of the memory figure" "$(json "$doc" 'r["null"]["peak_rss_kib"]["median"] < 600')" True
is "bump keeps all it ever handed out" \
    "$(json "$doc" 'r["bump"]["peak_rss_kib"]["median"] > r["glibc"]["peak_rss_kib"]["median"]')" True
is "net is gross less null, or null above 30 %" "$(json "$doc" '
    all((row["net_ns_per_op"] is None) == (row["harness_share"] > 0.3) for row in d["rows"])')" True

# Conditions are part of the result
doc=$TAP_TMP/conditions.json
ok "touch, loops, pace and drain" "$heaplay" replay "$kinds" --alloc glibc --samples 3 --touch line:2 --loops 4 \
    --pace 1000 --json "$doc"
is "the row's key holds them" "$(json "$doc" '[r["glibc"][k] for k in ("touch", "loops", "pace")]')" \
    "['line:2', 4, '1000']"
is "warm passes are kept apart" "$(json "$doc" '[len(s) for s in r["glibc"]["samples_warm"]]')" "[3, 3, 3]"
is "three samples are called a range" "$(json "$doc" 'r["glibc"]["ns_per_op"]["interval"][:5]')" range
none=$TAP_TMP/none.json all=$TAP_TMP/all.json
ok "touch none" "$heaplay" replay "$kinds" --alloc glibc --samples 3 --touch none --json "$none"
ok "touch all" "$heaplay" replay "$kinds" --alloc glibc --samples 3 --touch all --json "$all"
less=$(json "$none" 'r["glibc"]["peak_rss_kib"]["median"]') more=$(json "$all" 'r["glibc"]["peak_rss_kib"]["median"]')
ok "memory that is not touched costs less" $python -c "import sys; sys.exit(not $less < $more)"

# Survivors carried over
free=$TAP_TMP/free.json carry=$TAP_TMP/carry.json
for t in "$kinds" "$four"; do
    ok "passes with survivors freed" "$heaplay" replay "$t" --alloc glibc --samples 2 --loops 4 --json "$free"
    ok "passes with survivors carried over" "$heaplay" replay "$t" --alloc glibc --samples 2 --loops 4 --carry --json "$carry"
    less=$(json "$free" 'r["glibc"]["pass_end_rss_kib"][0][3]') more=$(json "$carry" 'r["glibc"]["pass_end_rss_kib"][0][3]')
    ok "carried survivors take memory" $python -c "import sys; sys.exit(not $less < $more)"
done

# Latency
doc=$TAP_TMP/latency.json
ok "latency runs" "$heaplay" replay "$four" --alloc glibc --samples 2 --latency --seed 5 --json "$doc"
is "about one call in 16 is timed, three times over" \
    "$(json "$doc" '400 < r["glibc"]["latency"]["all"]["count"] < 1100')" True
is "the clock has a distribution of its own" \
    "$(json "$doc" 'r["glibc"]["latency"]["control"]["count"] == r["glibc"]["latency"]["all"]["count"]')" True
is "kinds add up to all" "$(json "$doc" '
    sum(k["all"]["count"] for k in r["glibc"]["latency"]["by_kind"].values()) - r["glibc"]["latency"]["all"]["count"]')" 0
is "the worst call is the maximum" \
    "$(json "$doc" 'r["glibc"]["latency"]["worst"]["ns"] == r["glibc"]["latency"]["all"]["max"]')" True
is "no tail is claimed from too few calls" "$(json "$doc" '"p99.99" in r["glibc"]["latency"]["all"]')" False

# The gate
doc=$TAP_TMP/gate.json
exits "--verify marks an allocator that breaks the contract" 4 "$heaplay" replay "$kinds" --samples 2 --verify \
    --alloc glibc --alloc "x=$OUT/broken/liberrno.so" --json "$doc"
is "in the document" "$(json "$doc" '[d["allocators"][a]["verified"] for a in ("glibc", "x", "null")]')" \
    "[True, False, None]"
is "and keeps its figures" "$(json "$doc" 'r["x"]["status"], "ns_per_op" in r["x"]')" "ok True"

# Threads
for trace in "$four" "$many"; do
    doc=$TAP_TMP/threads.json
    ok "replay on recorded threads" "$heaplay" replay "$trace" --alloc glibc --samples 3 --json "$doc"
    is "stall time is reported" "$(json "$doc" '0 <= r["glibc"]["stall_share"]["median"] <= 1')" True
    ok "without a window" "$heaplay" replay "$trace" --alloc glibc --samples 2 --window 0
    ok "with a tiny window" "$heaplay" replay "$trace" --alloc glibc --samples 2 --window 20
    ok "the same on one thread" "$heaplay" replay "$trace" --alloc glibc --samples 2 --threads 1
    ok "several passes" "$heaplay" replay "$trace" --alloc glibc --samples 2 --loops 3
done

# Allocators
doc=$TAP_TMP/variants.json
ok "a variant and a control of the same allocator" "$heaplay" replay "$kinds" --alloc glibc \
    --alloc glibc@MALLOC_ARENA_MAX=1 --alloc 'glibc#again' --samples 2 --json "$doc"
is "are rows of their own" "$(json "$doc" 'sorted(r)')" \
    "['glibc', 'glibc#again', 'glibc@MALLOC_ARENA_MAX=1', 'null']"
is "with the variable recorded" \
    "$(json "$doc" 'd["allocators"]["glibc@MALLOC_ARENA_MAX=1"]["variables"]["MALLOC_ARENA_MAX"]')" 1
exits "given twice is a usage error" 2 "$heaplay" replay "$kinds" --alloc glibc --alloc glibc
said=$("$heaplay" replay "$kinds" --alloc glibcc 2>&1); is "an unknown name ends in 4" $? 4
like "and lists the known ones" "$said" 'known are cellmalloc, glibc, jemalloc'
exits "a library that does not exist" 4 "$heaplay" replay "$kinds" --alloc x=/nonexistent.so
exits "a library without malloc" 4 "$heaplay" replay "$kinds" --alloc "x=$OUT/broken/libstranger.so"
exits "a file that is no library" 4 "$heaplay" replay "$kinds" --alloc "x=$kinds"
said=$("$heaplay" replay "$kinds" --alloc "x=$OUT/broken/libpartial.so" --samples 2 2>&1)
is "calls that come from elsewhere end in 4" $? 4
like "and are named" "$said" 'aligned_alloc comes from .*libc'
doc=$TAP_TMP/crash.json
exits "a crash of one allocator ends in 4" 4 "$heaplay" replay "$kinds" --alloc "x=$OUT/broken/libcrash.so" \
    --alloc glibc --samples 2 --json "$doc"
is "is a row" "$(json "$doc" 'r["x"]["status"], "ns_per_op" in r["x"]')" 'crashed False'
is "and the others go on" "$(json "$doc" 'r["glibc"]["status"]')" ok
exits "a hang ends in 4" 4 "$heaplay" replay "$kinds" --alloc "x=$OUT/broken/libhang.so" --samples 2 --timeout 1 \
    --json "$doc"
is "as a timeout" "$(json "$doc" 'r["x"]["status"]')" timeout

# Bad input
exits "no trace" 2 "$heaplay" replay
exits "an unknown option" 2 "$heaplay" replay "$kinds" --nonsense
exits "a policy that does not exist" 2 "$heaplay" replay "$kinds" --touch everything
exits "not a trace" 3 "$heaplay" replay "$SRC/Makefile" --alloc glibc
: >"$TAP_TMP/empty.hpt"
exits "an empty trace" 3 "$heaplay" replay "$TAP_TMP/empty.hpt" --alloc glibc
head -c $(($(stat -c %s "$kinds") - 20)) "$kinds" >"$TAP_TMP/cut.hpt"
said=$("$heaplay" replay "$TAP_TMP/cut.hpt" --alloc glibc --samples 2 2>&1)
like "a trace that was cut off is said to be" "$said" 'cut off'

ok "list" "$heaplay" list
is "list --json names glibc" "$("$heaplay" list --json | $python -c '
import json, sys
print([a["installed"] for a in json.load(sys.stdin) if a["name"] == "glibc"])')" "[True]"
tap_end
