#!/usr/bin/env bash
# The fuzz target over the inputs that once failed and a bounded number of new ones; `make fuzz` runs it for long.
source "$SRC/scripts/tests/tap.sh"
unset MAKEFLAGS MAKELEVEL MFLAGS

target='int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size); int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size) { return data == 0 && size != 0; }'
if ! clang -fsanitize=fuzzer,undefined -o "$TAP_TMP/none" -x c - <<<"$target" 2>/dev/null; then
    skip "fuzz target" "there is no clang with libFuzzer"
    tap_end
fi

fuzz() { "$OUT/fuzz/fuzz_model" -timeout=60 -artifact_prefix="$TAP_TMP/" -print_final_stats=1 "$@" >"$TAP_TMP/said" 2>&1; }
fuzz_or_say() { fuzz "$@" || { grep -vE '^(INFO|#[0-9]+)' "$TAP_TMP/said" | head -40; xxd "$TAP_TMP"/crash-* 2>/dev/null; return 1; }; }

ok "the target builds" make -C "$SRC" -s OUT="$OUT" "$OUT/fuzz/fuzz_model"
for input in "$SRC"/allocator/tests/fuzz/inputs/*; do
    ok "input $(basename "$input")" fuzz_or_say "$input"
done

runs=$([ -n "${HEAPLAY_LONG:-}" ] && echo 500000 || echo 5000)
mkdir "$TAP_TMP/corpus"
ok "new inputs" fuzz_or_say -seed=1 -runs=$runs -max_total_time=$((runs / 500)) -max_len=1024 -len_control=0 "$TAP_TMP/corpus" "$SRC/allocator/tests/fuzz/inputs"
like "inputs have run" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$TAP_TMP/said")" '^[0-9]{3,}$'
tap_end
