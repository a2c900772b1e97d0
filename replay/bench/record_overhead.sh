#!/bin/bash
# What recording costs the recorded program: interleaved runs without and with it, the fastest of each (other load only adds).
#   loop    ns a pair of malloc and free without and with, by wall clock and by the program's own CPU time
#   python3 json.dumps and loads of 20,000 dicts with PYTHONMALLOC=malloc: ms, until heaplay has closed the trace
# events/s counts from the start of heaplay until the trace is closed; cpu of python3 is program and heaplay together.
# usage: OUT=build/release record_overhead.sh [ROUNDS [PAIRS]]
OUT=${OUT:-build/release}
rounds=${1:-7} pairs=${2:-1000000}
bench=$OUT/replay/bench/record_overhead
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
row='%-30s %9.1f %9.1f %8.2fx %8.2fx %12.0f %6d\n'

# Appends to $dir/rows: PLAIN_WALL PLAIN_CPU RECORDED_WALL RECORDED_CPU OPERATIONS ELAPSED_NS LOST
note() { # PLAIN RECORDED ELAPSED_NS
    echo "$1 $2 $(sed -nE 's/.* ([0-9]+) operations.* ([0-9]+) lost.*/\1 \2/p' "$dir/err" | head -1) $3" >>"$dir/rows"
}
summary() { # NAME
    awk -v name="$1" -v row="$row" '
        function least(a, b) { return a == "" || b < a ? b : a }
        { p = least(p, $1); pc = least(pc, $2); r = least(r, $3); rc = least(rc, $4)
          if ($5 / $7 * 1e9 > e) e = $5 / $7 * 1e9
          lost += $6 }
        END { printf row, name, p, r, r / p, rc / pc, e, lost }' "$dir/rows"
    rm -f "$dir/rows"
}
record() { "$OUT/heaplay" record -o "$dir/t.hpt" -- "$@" 2>"$dir/err" || { cat "$dir/err" >&2; exit 1; }; }

printf '%-30s %9s %9s %9s %9s %12s %6s\n' workload plain recorded wall cpu events/s lost
for work in 0 20 100; do
    for ((i = 0; i < rounds; i++)); do
        plain=$("$bench" "$pairs" $work)
        begin=$(date +%s%N)
        recorded=$(record "$bench" "$pairs" $work) || exit 1
        note "$plain" "$recorded" $(($(date +%s%N) - begin))
    done
    summary "loop, $work rounds of work (ns)"
done

python=/usr/bin/python3
if ! [ -x $python ] || ! export PYTHONMALLOC=malloc; then
    echo "python3: $python is not there; this row is left out"
    exit 0
fi
program='import json
d = [{"id": i, "name": "n%d" % i, "tags": ["a%d" % (i % 7), "b"], "v": i * 1.5, "o": {"x": i, "y": [i, i + 1]}}
     for i in range(20000)]
json.loads(json.dumps(d))'
TIMEFORMAT='%R %U %S'
timed() { { time "$@" >"$dir/out"; } 2>&1 | awk '{ printf "%.1f %.1f", $1 * 1000, ($2 + $3) * 1000 }'; }
for ((i = 0; i < rounds; i++)); do
    plain=$(timed $python -c "$program")
    recorded=$(timed record $python -c "$program") || exit 1
    note "$plain" "$recorded" "$(awk -v t="$recorded" 'BEGIN { split(t, f, " "); printf "%.0f", f[1] * 1e6 }')"
done
summary "python3, json (ms)"
