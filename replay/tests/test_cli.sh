#!/bin/bash
# The commands that look at traces, as a user types them: output, exit codes, and one clear line for bad input.
SRC=${SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
OUT=${OUT:-$SRC/build/release}
case $OUT in /*) ;; *) OUT=$SRC/$OUT ;; esac
. "$SRC/scripts/tests/tap.sh"
H=$OUT/heaplay
[ -x "$H" ] || { echo "Bail out! $H is not built"; exit 1; }
cd "$TAP_TMP" || exit 1

one_line() { [ "$(printf '%s\n' "$1" | wc -l)" -eq 1 ] && [ -n "$1" ]; }
bad() { # NAME CODE REGEX COMMAND...: exit code, and one line that matches
    local name=$1 code=$2 regex=$3 said status
    shift 3
    said=$("$@" 2>&1 >/dev/null </dev/null); status=$?
    is "$name: exit code" "$status" "$code"
    ok "$name: one line" one_line "$said"
    like "$name: says what" "$said" "$regex"
}

like "help lists the commands" "$("$H" help)" '^  import '
ok "no argument prints the help" "$H"
like "version" "$("$H" --version)" '^heaplay [0-9]+\.[0-9]+'
bad "unknown command" 2 "nearest is 'record'" "$H" recrod

for kind in larson producer phases ramp mix ladder; do
    ok "generate $kind" "$H" generate $kind --ops 20000 -o $kind.hpt
    like "check $kind" "$("$H" check $kind.hpt 2>&1)" 'ok, 20000 operations'
    like "$kind is marked synthetic" "$("$H" info --json $kind.hpt)" "\"origin\": \"synthetic:$kind\""
done
"$H" generate mix --ops 20000 -o again.hpt
ok "the same arguments give the same trace" cmp mix.hpt again.hpt
"$H" generate mix --ops 20000 --seed 2 -o other.hpt
not_ok "another seed gives another" cmp mix.hpt other.hpt
is "cat prints each event" "$("$H" cat larson.hpt | wc -l)" 20004
is "cat --limit" "$("$H" cat --limit 7 larson.hpt | wc -l)" 7
is "check reads a pipe" "$("$H" check - < mix.hpt | cut -d, -f1)" "-: ok"
ok "generate writes to a pipe" bash -c "'$H' generate ramp --ops 100 -o - | '$H' check -"
is "sha256 in info" "$("$H" info --json mix.hpt | sed -n 's/.*"sha256": "\(.*\)".*/\1/p')" "$(sha256sum mix.hpt | cut -d' ' -f1)"

# The peak, computed again from the text.
peak=$("$H" cat larson.hpt | awk '
    match($0, /malloc\([0-9]+\)/) { s = substr($0, RSTART + 7, RLENGTH - 8); size[$NF] = s; live += s; if (live > peak) peak = live }
    match($0, /free\(#[0-9]+\)/) { live -= size[substr($0, RSTART + 5, RLENGTH - 6)] } END { print peak }')
like "peak_live_bytes" "$("$H" info --json larson.hpt)" "\"peak_live_bytes\": $peak,"

head -c 3000 mix.hpt > cut.hpt
: > empty.hpt
echo "no trace" > text.hpt
cp mix.hpt broken.hpt && printf 'X' | dd of=broken.hpt bs=1 seek=2000 conv=notrunc 2>/dev/null
cp mix.hpt newer.hpt && printf '\x07' | dd of=newer.hpt bs=1 seek=8 conv=notrunc 2>/dev/null
for command in check info cat; do
    bad "$command of an empty file" 3 'empty' "$H" $command empty.hpt
    bad "$command of another file" 3 'not a .hpt trace' "$H" $command text.hpt
    bad "$command of a cut file" 3 'cut off at byte 3000' "$H" $command cut.hpt
    bad "$command of a corrupt file" 3 'corrupt at byte [0-9]+' "$H" $command broken.hpt
    bad "$command of a newer version" 3 'version 7' "$H" $command newer.hpt
    bad "$command of no file" 3 'No such file' "$H" $command absent.hpt
done

# check and info count alike: blocks made, resized and freed.
printf '%s\n' 'kind,thread,time_ns,id,old_id,size,count,alignment' 'malloc,0,64,1,0,10,0,0' 'realloc,0,64,2,1,20,0,0' \
    'realloc,0,64,3,2,30,0,0' 'realloc,0,64,4,0,30,0,0' 'realloc,0,64,0,3,99,0,0' 'free,0,64,0,3,0,0,0' > grown.csv
"$H" import grown.csv -o grown.hpt 2>/dev/null
is "check tells reallocs from allocations" "$("$H" check grown.hpt)" \
    "grown.hpt: ok, 6 operations by 1 thread, 2 allocations, 2 reallocs, 1 frees, 1 blocks live at the end"
like "info counts as check does" "$("$H" info grown.hpt)" 'blocks +2 made, 1 freed, 1 never freed, 1 calls failed'

for command in record replay verify; do
    like "$command names itself when it refuses an option" "$("$H" $command --nothing 2>&1)" "^heaplay $command: unrecognized option"
done

# What does not arrive is a failure: a command that printed to a full disk has not said what it was asked.
lost() { # COMMAND...: to a full disk
    local said status
    said=$("$H" "$@" 2>&1 >/dev/full </dev/null); status=$?
    is "$* to a full disk: exit code" "$status" 1
    is "$* to a full disk: says why" "$(tail -n 1 <<<"$said")" \
        "heaplay $1: cannot write to standard output: No space left on device"
}
lost info mix.hpt
lost info --json mix.hpt
lost cat mix.hpt
lost cat --limit 1 mix.hpt
lost list
lost list --json
lost check mix.hpt
lost diff mix.hpt mix.hpt
lost help
lost replay --samples 1 --alloc glibc mix.hpt
bad "slice to a full disk" 3 'No space left' bash -c "'$H' slice --ops :9 mix.hpt -o - >/dev/full"
bad "export to a full disk" 3 'No space left' bash -c "'$H' export --to csv mix.hpt >/dev/full"
tap_end
