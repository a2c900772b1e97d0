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
"$heaplay" replay "$SRC/traces/jq.hpt" --samples 6 --alloc cell="$OUT/libcellmalloc.so" --json "$TAP_TMP/jq.json" >/dev/null
is "a peak is no less than what was resident when most lived, of five looks in turn" "$(json "$TAP_TMP/jq.json" '
    (lambda x, looks: [len(looks), looks[0] == x["rss_at_peak_live_kib"] > 0, 0 <= x["peak_raised"] <= 6,
        all(peak >= looks[i % 5] for i, peak in enumerate(x["peak_rss_kib"]["samples"])),
        x["peak_ratio"]["low"] * x["peak_live_bytes"] >= min(looks) * 1023])(r["cell"], r["cell"]["peak_looks_kib"])')" \
    "[5, True, True, True, True]"
# What its samples touch is 0 or 8 MiB, and what the five looks find 1 to 5 MiB
turns() { # MIB: replays 6 samples
    rm -f "$TAP_TMP/turns"
    TURNS_LOG=$TAP_TMP/turns TURNS_SAMPLES=6 TURNS_MIB=$1 "$heaplay" replay "$kinds" --samples 6 --json "$TAP_TMP/turns.json" \
        --alloc "turns=$OUT/broken/libturns.so" >/dev/null
}
raised() { # MiB that samples lie above the first look, how many of them were raised, and the same MiB of the looks
    json "$TAP_TMP/turns.json" '(lambda x: ([round((peak - x["peak_looks_kib"][0]) / 1024) for peak in
        x["peak_rss_kib"]["samples"]], x["peak_raised"], [round((k - x["peak_looks_kib"][0]) / 1024) for k in
        x["peak_looks_kib"]]))(r["turns"])'
}
turns 0
is "a mark that misses memory is raised to five looks in turn, each in a process of its own" "$(raised)" \
    "([0, 1, 2, 3, 4, 0], 6, [0, 1, 2, 3, 4])"
is "which matches the schema" "$($python -c "
import json, jsonschema, sys
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))" "$TAP_TMP/turns.json" "$SRC/results/schema.json" 2>&1)" ""
turns 8
is "and one that does not stays as it is" "$(json "$TAP_TMP/turns.json" '
    r["turns"]["peak_raised"], min(r["turns"]["peak_rss_kib"]["samples"]) > max(r["turns"]["peak_looks_kib"]) + 2048')" "0 True"
TURNS_CRASH=9 turns 0
is "a crash while a run looks is the allocator's" "$? $(json "$TAP_TMP/turns.json" 'r["turns"]["status"]')" "4 crashed"
is "the harness stays out of the memory figure" "$(json "$doc" 'r["null"]["peak_rss_kib"]["median"] < 600')" True
$python -c '
print("kind,thread,time_ns,id,old_id,size,count,alignment")
for i in range(1, 300001):
    print(f"malloc,0,0,{i},0,16,0,0")' >"$TAP_TMP/crowd.csv"
"$heaplay" import "$TAP_TMP/crowd.csv" -o "$TAP_TMP/crowd.hpt" 2>/dev/null || echo "Bail out! cannot import a trace"
"$heaplay" replay "$TAP_TMP/crowd.hpt" --alloc glibc --samples 2 --json "$TAP_TMP/crowd.json" >/dev/null
is "nor are 2.3 MiB of slots in it, or in the faults" "$(json "$TAP_TMP/crowd.json" '
    r["null"]["peak_rss_kib"]["median"] < 600 and r["null"]["minor_faults"]["median"] < 150')" True
"$heaplay" replay "$kinds" --alloc glibc --alloc "early=$OUT/broken/libearly.so" --samples 2 --json "$TAP_TMP/early.json" >/dev/null
is "what an allocator has before the first call is not in its peak, but told" "$(json "$TAP_TMP/early.json" '
    r["early"]["peak_rss_kib"]["median"] < 8192 <= r["early"]["start_rss_kib"]["median"] < 9216
    and r["glibc"]["start_rss_kib"]["median"] < 1024')" True
"$heaplay" replay "$kinds" --alloc "none=$OUT/broken/libnone.so" --alloc "reader=$OUT/broken/libreader.so" \
    --alloc "reader=$OUT/broken/libreader.so@READER_OLD=1" --samples 3 --json "$TAP_TMP/reader.json" >/dev/null
for reader in reader reader@READER_OLD=1; do
    more() { json "$TAP_TMP/reader.json" "(lambda x, y: x - y)(*(r[a]['$1']['median'] for a in ('$reader', 'none'))) $2"; }
    is "a file's pages are not in the peak, whenever they are read ($reader)" "$(more peak_rss_kib '< 128')" True
    is "nor do they stay after the drain ($reader)" "$(more rss_after_drain_kib '< 128')" True
    is "but are in the baseline ($reader)" "$(more baseline_rss_kib '>= 1000')" True
    is "and not in what the allocator began with ($reader)" "$(more start_rss_kib '< 768')" True
    is "nor in the book-keeping run ($reader)" "$(json "$TAP_TMP/reader.json" \
        "r['$reader']['rss_at_peak_live_kib'] - r['none']['rss_at_peak_live_kib'] < 128")" True
done
is "bump keeps all it ever handed out" \
    "$(json "$doc" 'r["bump"]["peak_rss_kib"]["median"] > r["glibc"]["peak_rss_kib"]["median"]')" True
is "net is gross less null, or null above 30 %" "$(json "$doc" '
    all((row["net_ns_per_op"] is None) == (row["harness_share"] > 0.3) for row in d["rows"])')" True

is "hardware events are counted, or missing with the kernel's reason" "$(json "$doc" '
    all((d["counters"][e] == "counted" and r["glibc"][e + "_per_op"]["median"] > 0) if e + "_per_op" in r["glibc"]
        else d["counters"][e].startswith("missing: E")
        for e in ("cycles", "instructions", "cache_misses", "dtlb_misses")) and len(d["counters"]) == 4')" True

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

# Enough blocks for the width that is asked for
doc=$TAP_TMP/width.json
ok "--width" "$heaplay" replay "$kinds" --alloc glibc --alloc glibc#again --width 80 --json "$doc"
is "a wide one is reached with the pilot's 10 blocks, or as many as their spread asks for" \
    "$(json "$doc" '[(s["width"], s["pilot"], s["planned"] >= 10, s["blocks"] == s["planned"], s["by"])
                     for s in [t["stopping"] for t in d["traces"].values()]]')" "[(0.8, 10, True, True, 'width')]"
"$heaplay" replay "$kinds" --alloc glibc --alloc glibc#again --width 0.01 --samples 11 --json "$doc" >"$TAP_TMP/out"
is "a narrow one ends at the limit" "$(json "$doc" '[d["traces"][t]["stopping"]["by"] for t in d["traces"]]')" "['samples']"
like "and the run says that it is not reached" "$(cat "$TAP_TMP/out")" '11 blocks are too few for intervals of 0.01 %'
exits "--width 0" 2 "$heaplay" replay "$kinds" --alloc glibc --width 0

# As much as the program had touched: of three blocks of 300,000 bytes all, half and none
resident=$TAP_TMP/resident.hpt
"$heaplay" record --touch -o "$resident" -- "$OUT/replay/tests/targets/record_modes" touch 2>/dev/null
for policy in none recorded page; do
    "$heaplay" replay "$resident" --alloc glibc --samples 3 --touch $policy --json "$TAP_TMP/$policy.json" >/dev/null
done
faults() { json "$TAP_TMP/$1.json" 'r["glibc"]["minor_faults"]["median"]'; }
ok "touch recorded: half of the faults that more blocks would cost" $python -c "
import sys
share = ($(faults recorded) - $(faults none)) / ($(faults page) - $(faults none))
sys.exit(not 0.4 < share < 0.6)"
is "touch recorded is part of the key" "$(json "$TAP_TMP/recorded.json" 'r["glibc"]["touch"]')" recorded
exits "touch recorded of a trace without residency" 3 "$heaplay" replay "$kinds" --alloc glibc --touch recorded

# Time modes: 2000 blocks within 2 ms, with a pause of 300 ms in their middle
$python -c '
print("kind,thread,time_ns,id,old_id,size,count,alignment")
for i in range(1, 2001):
    print(f"malloc,0,{i * 1000 + (i > 1000) * 300_000_000},{i},0,4000,0,0")' >"$TAP_TMP/pause.csv"
"$heaplay" import "$TAP_TMP/pause.csv" -o "$TAP_TMP/pause.hpt" 2>/dev/null || echo "Bail out! cannot import a trace"
for pace in 1 10 idle:1; do
    ok "--pace $pace" "$heaplay" replay "$TAP_TMP/pause.hpt" --alloc glibc --samples 2 --pace $pace --json "$TAP_TMP/pace.json"
    cp "$TAP_TMP/pace.json" "$TAP_TMP/pace-${pace%:*}.json"
done
took() { json "$TAP_TMP/pace-$1.json" 'min(r["glibc"]["ns_per_op"]["samples"]) * 2000 / 1e6'; }    # ms
ok "real time takes as long as the program did" $python -c "import sys; sys.exit(not $(took 1) >= 301.9)"
ok "a tenth of it a tenth" $python -c "import sys; sys.exit(not 30.1 <= $(took 10) < $(took 1))"
ok "idle time is cut to 10 ms a pause" $python -c "import sys; sys.exit(not 11.9 <= $(took idle) < 301)"
is "the outside sampler looks on through the pause" "$(json "$TAP_TMP/pace-1.json" '
    len([n for n in r["glibc"]["timeline"]["operations"] if n == 1000]) > 5')" True
"$heaplay" generate mix -o "$TAP_TMP/timeless.hpt" --ops 100 && exits "a trace without times cannot be paced" 3 \
    "$heaplay" replay "$TAP_TMP/timeless.hpt" --alloc glibc --pace 1

# Layout and order: a library that says how its process lies, with the kernel's own randomisation off
layout="$OUT/broken/liblayout.so"
LAYOUT_LOG=$TAP_TMP/layout ok "samples of two that tell apart" setarch -R "$heaplay" replay "$kinds" --samples 10 --seed 3 \
    --alloc "a=$layout@LAYOUT_NAME=a" --alloc "b=$layout@LAYOUT_NAME=b"
sampled() { head -20 "$TAP_TMP/layout"; }       # 10 blocks of 2; what follows are further runs
ok "every sample is a process of its own" test "$(sampled | cut -d' ' -f2 | sort -u | wc -l)" = 20
ok "with an environment of another size" test "$(sampled | cut -d' ' -f3 | sort -u | wc -l)" -ge 18
ok "and a stack at another place" test "$(sampled | cut -d' ' -f4 | sort -u | wc -l)" -ge 18
further() { tail -n +21 "$TAP_TMP/layout"; }    # per allocator: books, four looks, the watched run
is "the further runs are processes of their own" "$(further | cut -d' ' -f2 | sort -u | wc -l)" 12
ok "and so lie the five looks" test "$(further | awk '{ print $3, $4 }' | sort -u | wc -l)" -ge 8
is "each allocator once in every block" "$(sampled | cut -c1 | paste -d '' - - | sed 's/ba/ab/' | sort -u)" ab
is "in an order drawn anew" "$(sampled | cut -c1 | paste -d '' - - | sort -u | paste -sd ' ')" 'ab ba'

# Survivors carried over
free=$TAP_TMP/free.json carry=$TAP_TMP/carry.json
for t in "$kinds" "$four"; do
    ok "passes with survivors freed" "$heaplay" replay "$t" --alloc glibc --samples 2 --loops 4 --json "$free"
    ok "passes with survivors carried over" "$heaplay" replay "$t" --alloc glibc --samples 2 --loops 4 --carry --json "$carry"
    less=$(json "$free" 'r["glibc"]["pass_end_rss_kib"][0][3]') more=$(json "$carry" 'r["glibc"]["pass_end_rss_kib"][0][3]')
    ok "carried survivors take memory" $python -c "import sys; sys.exit(not $less < $more)"
done

# Memory over time, seen from outside; and at the moment of peak live bytes
mix=$TAP_TMP/mix.hpt
"$heaplay" generate mix -o "$mix" --ops 300000 --threads 4 --seed 2 || echo "Bail out! cannot make a trace"
for threads in recorded 1; do
    doc=$TAP_TMP/timeline-$threads.json
    ok "an outside sampler watches, threads $threads" "$heaplay" replay "$mix" --alloc glibc --samples 3 --threads $threads \
        --json "$doc"
    is "its points go from the baseline to the last operation" "$(json "$doc" '
        (lambda t, n: [t["operations"][0], t["rss_kib"][0], t["operations"][-1] == n, t["ms"] == sorted(t["ms"]),
                       t["operations"] == sorted(t["operations"]), len(t["ms"]) >= 2, len({len(c) for c in t.values()
                       if isinstance(c, list)})])(r["glibc"]["timeline"], d["traces"]["mix"]["replayed"])')" \
        "[0, 0, True, True, True, True, 1]"
    is "every point has as many usable bytes as live ones, and less than all that was asked for" "$(json "$doc" '
        all(u >= l >= 0 for u, l in zip(r["glibc"]["timeline"]["usable_bytes"], r["glibc"]["timeline"]["live_bytes"]))')" True
    is "what is resident lies between the touched blocks and the high-water mark" "$(json "$doc" '
        r["glibc"]["peak_live_bytes"] / 2048 < max(r["glibc"]["timeline"]["rss_kib"])
            < r["glibc"]["timeline"]["peak_rss_kib"] + 1024')" True
    is "watching does not change the peak" "$(json "$doc" '
        0.8 < r["glibc"]["timeline"]["peak_rss_kib"] / r["glibc"]["peak_rss_kib"]["median"] < 1.25')" True
    is "at peak live: resident is at least the live bytes, at most the peak in recorded order" "$(json "$doc" '
        [r["glibc"]["at_peak_live_ratio"] > 0.9, round(r["glibc"]["at_peak_live_ratio"]
            / ((1 + r["glibc"]["internal_fragmentation"]) * (1 + r["glibc"]["external_fragmentation"])), 4),
         r["glibc"]["rss_at_peak_live_kib"] <= max(p["rss_kib"] for p in r["glibc"]["curve"]) + 1024]')" "[True, 1.0, True]"
done
is "survivors are the same in both orders" "$(json "$TAP_TMP/timeline-recorded.json" \
    'r["glibc"]["timeline"]["live_bytes"][-1]')" "$(json "$TAP_TMP/timeline-1.json" 'r["glibc"]["timeline"]["live_bytes"][-1]')"
ok "the time line matches the schema" $python -c "
import json, jsonschema, sys
jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))" "$doc" "$SRC/results/schema.json"
doc=$TAP_TMP/drain.json
begun=$(date +%s%N)
ok "--drain-waits" "$heaplay" replay "$mix" --alloc glibc --samples 1 --drain-waits --json "$doc"
ok "waits 5 s" test $(($(date +%s%N) - begun)) -ge 5000000000
is "looks again 0.1, 1 and 5 s after the last free" "$(json "$doc" 'sorted(r["glibc"]["drain_kib"])')" \
    "['0', '0.1', '1', '5', 'trim']"
is "and after malloc_trim, which leaves less" "$(json "$doc" '
    r["glibc"]["drain_kib"]["trim"] < r["glibc"]["drain_kib"]["5"]')" True

# Latency
doc=$TAP_TMP/latency.json
ok "latency runs" "$heaplay" replay "$four" --alloc glibc --alloc glibc#again --samples 2 --latency --seed 5 --json "$doc"
is "about one call in 16 is timed, three times over" \
    "$(json "$doc" '400 < r["glibc"]["latency"]["all"]["count"] < 1100')" True
is "the clock has a distribution of its own" \
    "$(json "$doc" '(lambda c, a: (c["count"] == a["count"], c["histogram"] == a["histogram"]))(
        r["glibc"]["latency"]["control"], r["glibc"]["latency"]["all"])')" "(True, False)"
is "the same calls are timed under every allocator" "$(json "$doc" '
    len({str({kind: {size: one["count"] for size, one in sizes.items()} for kind, sizes in
              r[a]["latency"]["by_kind"].items()}) for a in ("glibc", "glibc#again")})')" 1
is "kinds add up to all" "$(json "$doc" '
    sum(k["all"]["count"] for k in r["glibc"]["latency"]["by_kind"].values()) - r["glibc"]["latency"]["all"]["count"]')" 0
is "the worst call is the maximum" \
    "$(json "$doc" 'r["glibc"]["latency"]["worst"]["ns"] == r["glibc"]["latency"]["all"]["max"]')" True
"$heaplay" export --to csv "$four" -o "$TAP_TMP/four.csv" 2>/dev/null
# reallocarray is timed as the realloc that it comes to.
is "and known by its number in the trace" "$(json "$doc" '
    (lambda w, calls: (calls[w["operation"]][0].removesuffix("array"), int(calls[w["operation"]][1]),
                       int(calls[w["operation"]][5]) * (int(calls[w["operation"]][6]) or 1)) == (w["kind"], w["thread"], w["bytes"])
        or (w["kind"].startswith(("free", "delete")) and calls[w["operation"]][0] == w["kind"]))(
        r["glibc"]["latency"]["worst"],
        [l.split(",") for l in open("'"$TAP_TMP/four.csv"'").read().splitlines()[1:] if not l.startswith("thread_")])')" True
is "histograms hold every call, and the percentiles to a sixteenth" "$(json "$doc" '
    all(sum(n for _, n in h["histogram"]) == h["count"]
        and next(low for i, (low, n) in enumerate(h["histogram"]) if sum(m for _, m in h["histogram"][:i + 1]) >= h["count"] / 2)
            <= h["p50"] < 17 / 16 * next(low for i, (low, n) in enumerate(h["histogram"])
            if sum(m for _, m in h["histogram"][:i + 1]) >= h["count"] / 2) + 1
        for h in [r["glibc"]["latency"]["all"], r["glibc"]["latency"]["control"]])')" True
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
    is "no look is taken where samples run in another order" "$(json "$doc" '"peak_looks_kib" in r["glibc"]')" False
    is "stall time is reported" "$(json "$doc" '0 <= r["glibc"]["stall_share"]["median"] <= 1')" True
    ok "without a window" "$heaplay" replay "$trace" --alloc glibc --samples 2 --window 0
    ok "with a tiny window" "$heaplay" replay "$trace" --alloc glibc --samples 2 --window 20
    ok "the same on one thread" "$heaplay" replay "$trace" --alloc glibc --samples 2 --threads 1
    ok "several passes" "$heaplay" replay "$trace" --alloc glibc --samples 2 --loops 3
done

# One thread makes 300,000 blocks, another frees the last of them first: it has nothing to do but wait
$python -c '
print("kind,thread,time_ns,id,old_id,size,count,alignment")
for i in range(1, 300001):
    print(f"malloc,0,0,{i},0,64,0,0")
print("free,1,0,0,300000,0,0,0")' >"$TAP_TMP/wait.csv"
"$heaplay" import "$TAP_TMP/wait.csv" -o "$TAP_TMP/wait.hpt" 2>/dev/null || echo "Bail out! cannot import a trace"
"$heaplay" replay "$TAP_TMP/wait.hpt" --alloc glibc --samples 5 --window 0 --json "$doc" >/dev/null
is "waiting for another thread's block is stall" "$(json "$doc" '0 < max(r["glibc"]["stall_share"]["samples"]) <= 1')" True

# Allocators
doc=$TAP_TMP/variants.json
ok "a variant and a control of the same allocator" "$heaplay" replay "$kinds" --alloc glibc \
    --alloc glibc@MALLOC_ARENA_MAX=1 --alloc 'glibc#again' --samples 2 --json "$doc"
is "are rows of their own" "$(json "$doc" 'sorted(r)')" \
    "['glibc', 'glibc#again', 'glibc@MALLOC_ARENA_MAX=1', 'null']"
is "with the variable recorded" \
    "$(json "$doc" 'd["allocators"]["glibc@MALLOC_ARENA_MAX=1"]["variables"]["MALLOC_ARENA_MAX"]')" 1
ok "a variable whose value has commas" "$heaplay" replay "$kinds" --samples 2 --json "$doc" \
    --alloc glibc@GLIBC_TUNABLES=a:1,b:2,MALLOC_ARENA_MAX=1
is "and one behind it" "$(json "$doc" 'list(d["allocators"].values())[0]["variables"]')" \
    "{'GLIBC_TUNABLES': 'a:1,b:2', 'MALLOC_ARENA_MAX': '1'}"
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

# Prefixed and static ones, through the function table
${CC:-cc} -O1 -fPIC -fno-builtin -c -o "$TAP_TMP/none.o" "$SRC/replay/tests/broken/none.c" && ar rc "$TAP_TMP/libnone.a" "$TAP_TMP/none.o"
ok "static libraries, with a prefix and under malloc's names" "$heaplay" replay "$kinds" --alloc glibc --samples 2 --json "$doc" \
    --alloc "cell=cell_:$OUT/libcellmalloc.a" --alloc "static=$TAP_TMP/libnone.a"
is "are the files that were named" "$(json "$doc" '
    [(a["identity"], a["prefix"], a["path"].split("/")[-1], len(a["sha256"]))
     for a in (d["allocators"]["cell"], d["allocators"]["static"])]')" \
    "[('proved', 'cell_', 'libcellmalloc.a', 64), ('proved', None, 'libnone.a', 64)]"
ok "and keep the contract" "$heaplay" verify "$kinds" --alloc "cell=cell_:$OUT/libcellmalloc.a"
said=$("$heaplay" replay "$kinds" --alloc "x=wrong_:$OUT/libcellmalloc.so" 2>&1); is "a prefix that is not there ends in 4" $? 4
like "and is named" "$said" 'does not export wrong_malloc'
echo 'void *odd_malloc(unsigned long n) { return n ? (void *)0 : (void *)1; }' >"$TAP_TMP/odd.c"
${CC:-cc} -shared -fPIC -o "$TAP_TMP/libodd.so" "$TAP_TMP/odd.c"
said=$("$heaplay" replay "$kinds" --alloc "x=odd_:$TAP_TMP/libodd.so" --samples 2 2>&1); is "a library without free ends in 4" $? 4
like "and the call is named" "$said" 'odd_free comes from nowhere'
printf 'static int x; int *address(void) { return &x; } int (*f(void))(void) { return (int (*)(void))f; }' >"$TAP_TMP/fixed.c"
(cd "$TAP_TMP" && ${CC:-cc} -fno-pic -mcmodel=medium -c fixed.c 2>/dev/null || ${CC:-cc} -fno-pic -c fixed.c; ar rc libfixed.a fixed.o)
said=$("$heaplay" replay "$kinds" --alloc "x=odd_:$TAP_TMP/libfixed.a" 2>&1); is "an archive of code for fixed addresses ends in 4" $? 4
like "and what to do is said" "$said" 'compile it with -fPIC|does not export odd_malloc'
is "nothing is left behind" "$(ls /tmp | grep -c '^heaplay-link')" 0
${CC:-cc} -shared -O1 -fPIC -fno-builtin -frecord-gcc-switches -o "$TAP_TMP/libflags.so" "$SRC/replay/tests/broken/none.c"
"$heaplay" replay "$kinds" --alloc "f=$TAP_TMP/libflags.so" --samples 1 --json "$TAP_TMP/flags.json" >/dev/null
like "compiler and flags are named where the library keeps them" "$(json "$TAP_TMP/flags.json" 'd["allocators"]["f"]["build"]')" \
    '(GCC|clang).*-fno-builtin'
is "the C library is hashed too" "$(json "$doc" 'len(d["allocators"]["glibc"]["sha256"])')" 64

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
said=$(LD_LIBRARY_PATH=$OUT/broken "$heaplay" list --all); is "list --all" $? 0
like "finds libraries that no row knows" "$said" 'installed .*/broken/libnone.so'
not_ok "but not the C library twice" grep -q '^- .*libc\.so' <<<"$said"
tap_end
