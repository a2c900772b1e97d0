#!/bin/bash
# What recording costs the recorded program: paired, interleaved runs with and without, the median of the ratios.
# Columns: ns a pair (malloc and free) without and with, slowdown by wall clock and by the program's own CPU time,
# events a second through recorder and collector until the trace is closed, lost events.
# usage: OUT=build/release record_overhead.sh [ROUNDS [PAIRS]]
OUT=${OUT:-build/release}
rounds=${1:-7} pairs=${2:-1000000}
bench=$OUT/replay/bench/record_overhead
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf '%-34s %9s %9s %9s %9s %12s %6s\n' workload plain recorded wall cpu events/s lost
for work in 0 20 100; do
    for ((i = 0; i < rounds; i++)); do
        plain=$("$bench" "$pairs" $work)
        begin=$(date +%s%N)
        recorded=$("$OUT/heaplay" record -o "$dir/t.hpt" -- "$bench" "$pairs" $work 2>"$dir/err") || { cat "$dir/err" >&2; exit 1; }
        end=$(date +%s%N)
        operations=$(sed -nE 's/.* ([0-9]+) operations.*/\1/p' "$dir/err")
        lost=$(sed -nE 's/.* ([0-9]+) lost.*/\1/p' "$dir/err")
        echo "$plain $recorded $operations $((end - begin)) $lost"
    done | awk -v work=$work '
        function median(v, n,   i, j, t) {
            for (i = 2; i <= n; i++) { t = v[i]; for (j = i - 1; j > 0 && v[j] > t; j--) v[j + 1] = v[j]; v[j + 1] = t }
            return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
        { p[NR] = $1; r[NR] = $3; w[NR] = $3 / $1; c[NR] = $4 / $2; e[NR] = $5 / $6 * 1e9; lost += $7 }
        END { printf "malloc/free, %3d rounds of work     %9.1f %9.1f %8.2fx %8.2fx %12.0f %6d\n", work,
              median(p, NR), median(r, NR), median(w, NR), median(c, NR), median(e, NR), lost }'
done
