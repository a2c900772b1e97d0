#!/bin/bash
# Traces larger than the memory their plan may take: the same results from disk, piece by piece, in bounded memory, and
# a clear line where there is no room.
source "$SRC/scripts/tests/tap.sh"
heaplay=$OUT/heaplay
python=/usr/bin/python3
threads=$TAP_TMP/threads.hpt
one=$TAP_TMP/one.hpt
"$heaplay" generate mix --threads 12 --ops 400000 -o "$threads" && "$heaplay" generate mix --ops 2000000 -o "$one" ||
    echo "Bail out! cannot make traces"

json() { # FILE EXPRESSION over t (the trace), r (rows by allocator)
    $python -c "
import json, sys
d = json.load(open(sys.argv[1]))
t, = d['traces'].values()
r = {row['allocator']: row for row in d['rows']}
print($2)" "$1" 2>&1
}

replay() { # DOCUMENT ARGUMENTS...: heaplay replay; leaves its largest resident memory in KiB, children left out, in .peak
    local document=$1
    shift
    $python - "$heaplay" replay "$@" --seed 1 --samples 3 --json "$document" >"$document.peak" <<'PY'
import subprocess
import sys
with subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL) as p:
    worst = 0
    while p.poll() is None:
        for line in open(f"/proc/{p.pid}/status"):
            if line.startswith("VmHWM:"):
                worst = max(worst, int(line.split()[1]))
        try:
            p.wait(0.002)
        except subprocess.TimeoutExpired:
            pass
print(worst)
sys.exit(p.returncode)
PY
}

# Several threads
whole=$TAP_TMP/whole.json pieces=$TAP_TMP/pieces.json
ok "a trace whose plan fits" replay "$whole" "$threads" --alloc glibc
ok "the same trace with memory for a tenth" replay "$pieces" "$threads" --alloc glibc --plan-memory 2M --loops 2
is "it was streamed, the other one not" "$(json "$whole" 't["plan"]["streamed"]') $(json "$pieces" 't["plan"]["streamed"]')" \
    "False True"
ok "in sections" test "$(json "$pieces" 't["plan"]["sections"]')" -gt 12
for what in 't["operations"], t["replayed"]' 't["peak_live_bytes"]' '[p["live_bytes"] for p in r["glibc"]["curve"]]' \
    '[p["usable_bytes"] for p in r["glibc"]["curve"]]' 'r["glibc"]["usable_bytes_at_peak"]'; do
    is "the same: $what" "$(json "$pieces" "$what")" "$(json "$whole" "$what")"
done
is "no page of the plan is in the memory figure" "$(json "$pieces" 'r["null"]["peak_rss_kib"]["median"] < 600')" True
is "reading sections faults nothing" "$(json "$pieces" 'r["null"]["minor_faults"]["median"] < 600')" True
is "nor is it in the pass that follows" "$(json "$pieces" 'max(r["null"]["pass_end_rss_kib"][0]) < 600')" True
ok "--latency and --verify take a streamed plan" "$heaplay" replay "$threads" --alloc glibc --samples 3 \
    --plan-memory 2M --latency --verify
"$OUT/replay/tests/make_kinds" "$TAP_TMP/kinds.hpt" 12
ok "--pace does" "$heaplay" replay "$TAP_TMP/kinds.hpt" --alloc glibc --samples 3 --plan-memory 64K --pace 1000 \
    --json "$pieces.paced"
is "in sections" "$(json "$pieces.paced" 't["plan"]["streamed"] and t["plan"]["sections"] > 2')" True

# Memory, of heaplay and of the worker: the plan of 31 MiB and the one for book-keeping do not fit, blocks that live do
ok "one thread, in memory" replay "$whole" "$one" --alloc glibc
ok "one thread, in 4 MiB" replay "$pieces" "$one" --alloc glibc --plan-memory 4M
is "streamed" "$(json "$pieces" 't["plan"]["streamed"]')" True
most=$(cat "$whole.peak") peak=$(cat "$pieces.peak")
ok "heaplay stays small: $peak KiB instead of $most" test "$peak" -lt $((most / 2))
baseline() { json "$1" 'int(r["null"]["baseline_rss_kib"]["median"])'; }
ok "so does the worker: $(baseline "$pieces") KiB instead of $(baseline "$whole")" \
    test "$(baseline "$pieces")" -lt $(($(baseline "$whole") - 25000))
is "usable bytes at the peak are the same" "$(json "$pieces" 'r["glibc"]["usable_bytes_at_peak"]')" \
    "$(json "$whole" 'r["glibc"]["usable_bytes_at_peak"]')"
ok "verify takes a streamed plan" "$heaplay" verify "$one" --alloc glibc --plan-memory 4M
is "no file is left behind" "$(find "${TMPDIR:-/var/tmp}" -maxdepth 1 -name 'heaplay-plan-*' | wc -l)" 0

# Tools: memory does not follow the length of a trace
peak_of() { # COMMAND...: KiB of a subcommand, or nothing when it fails
    "$OUT/launcher" -l "$TAP_TMP/log" -o "$TAP_TMP/said" -e "$TAP_TMP/err" -- "$heaplay" "$@" &&
        sed -n '$s/.*"peak_rss_kib": \([0-9]*\).*/\1/p' "$TAP_TMP/log"
}
tool() { # TOOL LENGTH
    case $1 in
    generate) peak_of generate larson --threads 64 --ops "$2" -o "$TAP_TMP/$2.hpt" ;;
    slice) peak_of slice --ops 1000: "$TAP_TMP/$2.hpt" -o "$TAP_TMP/out.hpt" ;;
    export) peak_of export --to csv "$TAP_TMP/$2.hpt" -o "$TAP_TMP/$2.csv" ;;
    import) peak_of import --from csv "$TAP_TMP/$2.csv" -o "$TAP_TMP/out.hpt" ;;
    *) peak_of "$1" "$TAP_TMP/$2.hpt" ;;
    esac
}
for name in generate info check cat slice export import; do
    few=$(tool $name 200000) many=$(tool $name 2000000)
    ok "$name: $few KiB for 200,000 operations, $many KiB for ten times as many" test "$many" -lt $((few + 2048))
done

# No room
refused() { "$heaplay" replay "$one" --alloc glibc --samples 1 --plan-memory 1M "$@" 2>&1; }
exits "a directory that is not there" 1 refused --plan-dir /nowhere
is "one line" "$(refused --plan-dir /nowhere)" "heaplay replay: $one: cannot write the compiled trace to a file in /nowhere: \
No such file or directory: name another directory by --plan-dir"
small=$TAP_TMP/small
mkdir "$small"
if mount -t tmpfs -o size=8M none "$small" 2>/dev/null; then
    exits "a full disk" 1 refused --plan-dir "$small"
    like "one line says how far it came" "$(refused --plan-dir "$small")" \
        "^heaplay replay: .*cannot write the compiled trace to $small after [0-9]+ MiB: No space left on device: name a directory"
    is "the room is given back" "$(df --output=used "$small" | tail -1 | tr -d ' ')" 0
    umount "$small"
else
    skip "a full disk" "no file system can be mounted here"
fi
exits "too little memory" 2 "$heaplay" replay "$one" --plan-memory 1K
tap_end
