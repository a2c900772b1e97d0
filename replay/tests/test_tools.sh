#!/bin/bash
# Tools on traces: slice, head, tail, merge, anonymize, diff, fit.
SRC=${SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
OUT=${OUT:-$SRC/build/release}
case $OUT in /*) ;; *) OUT=$SRC/$OUT ;; esac
. "$SRC/scripts/tests/tap.sh"
H=$OUT/heaplay
[ -x "$H" ] || { echo "Bail out! $H is not built"; exit 1; }
cd "$TAP_TMP" || exit 1

calls() { "$H" cat "$1" | sed 's/^ *[0-9]* *[0-9.]* //'; }
field() { "$H" info "$1" --json | sed -n "s/^ \"$2\": *\(.*[^,]\),*$/\1/p"; }

printf '%s\n' 'kind,thread,time_ns,id,old_id,size,count,alignment' 'malloc,0,64,1,0,10,0,0' 'malloc,0,1000000000,2,0,20,0,0' \
    'malloc,1,1000000064,3,0,30,0,0' 'free,0,2000000000,0,1,0,0,0' 'free,0,2000000064,0,3,0,0,0' \
    'realloc,0,3000000000,4,2,40,0,0' > k.csv
"$H" import k.csv -o k.hpt 2>/dev/null
"$H" slice --ops 3:6 k.hpt -o s.hpt
is "slice by operations: what lives at its start comes first" "$(calls s.hpt)" 't0   thread_start()
t0   malloc(10) = #1
t0   malloc(20) = #2
t1   thread_start()
t1   malloc(30) = #3
t0   free(#1)
t0   free(#3)
t0   realloc(#2, 40) = #4'
"$H" slice --time 1:2 k.hpt -o s.hpt
is "slice by time" "$(calls s.hpt)" 't0   thread_start()
t0   malloc(10) = #1
t0   malloc(20) = #2
t1   thread_start()
t1   malloc(30) = #3'
"$H" slice --thread 1 k.hpt -o s.hpt
is "slice by thread: a block that another takes away is freed" "$(calls s.hpt)" 't0   thread_start()
t0   malloc(30) = #1
t0   free(#1)'
"$H" slice --thread 0 k.hpt -o s.hpt
is "slice by thread: blocks of others are left out" "$(calls s.hpt | grep -c 30)" 0
"$H" head -n 2 k.hpt -o s.hpt
is "head" "$(calls s.hpt | tail -1)" 't0   malloc(20) = #2'
"$H" tail -n 1 k.hpt -o s.hpt
is "tail" "$(calls s.hpt)" 't0   thread_start()
t0   malloc(20) = #1
t0   realloc(#1, 40) = #2'
is "the origin says what was done" "$(field s.hpt origin)" '"derived:tail"'

"$H" generate larson --ops 30000 -o l.hpt
for from in 0 1 777 15000 29999; do
    "$H" slice --ops $from:$((from + 5000)) l.hpt -o s.hpt
    ok "slice from $from is consistent" "$H" check s.hpt
done
is "a slice of all is the same" "$("$H" slice l.hpt -o s.hpt; "$H" diff l.hpt s.hpt)" 'the same calls'
is "synthetic stays synthetic" "$(field s.hpt origin)" '"synthetic:derived:slice"'

"$H" generate mix --ops 4000 -o m.hpt
"$H" merge l.hpt m.hpt -o s.hpt
ok "merge is consistent" "$H" check s.hpt
is "merge: operations add up" "$(field s.hpt operations)" 34000
is "merge: threads add up" "$(field s.hpt threads)" 5

"$H" record -o r.hpt -- /bin/echo secret-word >/dev/null 2>&1
"$H" anonymize r.hpt -o s.hpt
ok "anonymize is consistent" "$H" check s.hpt
is "anonymize: no command, no host" "$(field s.hpt command)$(field s.hpt host)" '""""'
is "anonymize: nothing left in the file" "$("$H" info s.hpt --json | grep -c secret-word)" 0
sizes() { calls "$1" | sed -n 's/.*malloc(\([0-9]*\)).*/\1/p'; }
is "without noise all sizes stay" "$(sizes s.hpt | sha256sum)" "$(sizes r.hpt | sha256sum)"
# The sizes of a recorded program depend on its environment; those of a generated trace do not, and are many.
"$H" anonymize --noise 5 m.hpt -o s.hpt
ok "noise leaves it consistent" "$H" check s.hpt
is "noise keeps the 16-byte classes" "$("$H" info s.hpt --json | grep -A4 footprint | grep rounded)" \
    "$("$H" info m.hpt --json | grep -A4 footprint | grep rounded)"
not_ok "noise changes sizes" cmp -s <(sizes s.hpt) <(sizes m.hpt)
round() { sizes "$1" | awk '{ r = 1; while (r < 16 && $1 % (2 * r) == 0) r *= 2; print r, int(($1 + 15) / 16) }'; }
is "noise keeps rounding and class" "$(round s.hpt | sha256sum)" "$(round m.hpt | sha256sum)"

exits "diff finds a difference" 1 "$H" diff l.hpt m.hpt
like "diff names the first one" "$("$H" diff l.hpt m.hpt)" 'the first difference is event [0-9]+'
"$H" fit l.hpt -o f.hpt
ok "fit is consistent" "$H" check f.hpt
is "fit is marked synthetic" "$(field f.hpt origin)" '"synthetic:fit"'
is "fit: as many operations" "$(field f.hpt operations)" 30000
is "fit: as many threads" "$(field f.hpt threads)" 4
near() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > 0.8 * b && a < 1.25 * b) }'; }
ok "fit: requested bytes within 25 %" near "$(field f.hpt requested_bytes)" "$(field l.hpt requested_bytes)"
ok "fit: cross-thread share within 25 %" near "$(field f.hpt cross_thread_share)" "$(field l.hpt cross_thread_share)"
"$H" fit l.hpt -o g.hpt
ok "fit: the same seed gives the same trace" cmp f.hpt g.hpt

if HEAPLAY_HOME=$SRC "$H" info l.hpt --svg c.svg >/dev/null 2>said; then
    like "info draws its card" "$(head -c 300 c.svg)" 'svg'
elif grep -q 'no Python' said; then
    skip "info draws its card" "no Python with matplotlib"
else
    ok "info draws its card" false
fi
exits "info: a picture's name must say what it is" 2 "$H" info l.hpt --png c.svg

exits "slice without output" 2 "$H" slice l.hpt
exits "slice of a bad range" 2 "$H" slice --ops 9:3 l.hpt -o s.hpt
exits "an absent input" 3 "$H" fit absent.hpt -o s.hpt
exits "merge of one" 2 "$H" merge l.hpt -o s.hpt

# An input that was cut off: nothing that stood there is lost, and the message names the command that saves the part.
"$H" generate larson --ops 200000 -o long.hpt
head -c $(($(stat -c %s long.hpt) - 9)) long.hpt > cut.hpt
untouched() { # COMMAND...: fails and leaves what is there, and nothing beside it
    echo precious > kept
    exits "$1 of an input that was cut off" 3 "$H" "$@" -o kept
    is "$1 of it leaves what was there" "$(cat kept)" precious
    not_ok "$1 of it leaves nothing else" test -e kept.partial
}
untouched slice cut.hpt
untouched anonymize cut.hpt
untouched export --to csv cut.hpt
untouched merge cut.hpt l.hpt
untouched slice --ops 300000: long.hpt
advice=$("$H" check cut.hpt 2>&1 | sed -n 's/.*take that part: heaplay \(slice .*\) PART.hpt$/\1/p')
ok "the advice is a command that works" "$H" $advice part.hpt
like "and its part is whole" "$("$H" check part.hpt 2>&1)" 'part.hpt: ok, 200000 operations'
head -c 300 long.hpt > head.hpt
like "replay of a trace cut off before its first operation says so" "$("$H" replay head.hpt --alloc glibc 2>&1)" \
    'no operation to replay: head.hpt: cut off at byte 300'
like "verify says that a trace was cut off" "$("$H" verify cut.hpt --alloc glibc 2>&1)" 'cut.hpt was cut off'
is "diff names a cut-off input once" "$("$H" diff cut.hpt cut.hpt 2>&1 | grep -c 'cut.hpt: cut.hpt')" 0
like "slice says why it refuses a range" "$("$H" slice --ops 5:1 l.hpt -o s.hpt 2>&1)" '^heaplay slice: --ops 5:1 is not FROM:TO'
like "merge names its limit" "$("$H" merge $(yes l.hpt | head -65) -o s.hpt 2>&1)" 'at most 64'

# What a killed command has left beside an output keeps its name, and may be the input.
cp l.hpt left.hpt.partial
ok "an input may be called as the part of the output would be" "$H" slice --ops :100 left.hpt.partial -o left.hpt
ok "and stays" cmp l.hpt left.hpt.partial
ok "beside a whole output" "$H" check left.hpt
ln -s nowhere.hpt dangling.hpt
ok "a link that leads nowhere is written through" "$H" slice --ops :100 l.hpt -o dangling.hpt
ok "and stays a link" test -L dangling.hpt -a -f nowhere.hpt

# What the table says of few samples, and of the slowest call.
table() { "$H" replay m.hpt --alloc glibc --samples "$@" | grep -a '^glibc'; }
like "one sample is a number alone" "$(table 1)" '^glibc +[0-9.]+ +[-0-9.]+ '
like "of three the range is said, and not as an interval" "$(table 3)" '^glibc +[0-9.]+ \([0-9.]+-[0-9.]+\) '
like "six give an interval" "$(table 6)" '^glibc +[0-9.]+ \[[0-9.]+, [0-9.]+\] '
is "the range is explained" "$("$H" replay m.hpt --alloc glibc --samples 3 | grep -c '(low-high) is the range')" 1
printf '%s\n' 'kind,thread,time_ns,id,old_id,size,count,alignment' > frees.csv
for ((i = 1; i <= 400; i++)); do echo "malloc,0,0,$i,0,9,0,0"; done >> frees.csv
for ((i = 1; i <= 4000; i++)); do echo "free,0,0,0,$((i > 400 ? 0 : i)),0,0,0"; done >> frees.csv
"$H" import frees.csv -o frees.hpt 2>/dev/null
worst=$("$H" replay frees.hpt --alloc glibc --samples 1 --latency | grep -a 'worst:')
is "a free has no size of 0 bytes" "$(grep -c 'free of' <<<"$worst")" 0
worst=$("$H" replay l.hpt --alloc glibc --samples 1 --latency | grep -a 'worst:')       # not a free of NULL, which no part holds
ok "the slowest call's command works" "$H" $(sed -n 's/.*alone: heaplay \(.*\) CALL.hpt)$/\1/p' <<<"$worst") call.hpt
like "a library without a name is told" "$("$H" verify m.hpt --alloc x= 2>&1)" "allocator x: no library is named behind '='"

# A block of 99 GB that the program reserved: where it is touched there must be memory for it.
live=$(($(sed -n 's/^MemTotal: *\([0-9]*\) .*/\1/p' /proc/meminfo) * 1024 * 4 + 99000000000))
printf '%s\n' 'kind,thread,time_ns,id,old_id,size,count,alignment' "malloc,0,64,1,0,$live,0,0" 'free,0,64,0,1,0,0,0' > big.csv
"$H" import big.csv -o big.hpt 2>/dev/null
exits "replay touches no more than there is" 3 "$H" replay big.hpt --alloc null --samples 1
like "and says how it would go" "$("$H" replay big.hpt --alloc null --samples 1 2>&1)" \
    "big.hpt: up to $((live >> 20)) MiB live at once and are touched, [0-9]+ MiB of memory are available; give --touch none"
ok "as it does" "$H" replay big.hpt --alloc null --samples 1 --touch none
exits "verify needs memory for it too" 3 "$H" verify big.hpt --alloc glibc
exits "and so does replay --verify" 3 "$H" replay big.hpt --alloc null --samples 1 --touch none --verify

# Files appear whole or not at all, with the rights they had; a pipe and a link are written through.
echo old > s.hpt && chmod 640 s.hpt && ln -s s.hpt link.hpt
"$H" head -n 5 l.hpt -o link.hpt
is "a link leads on" "$(readlink link.hpt) $(stat -c %a s.hpt)" "s.hpt 640"
ok "to what was written" "$H" check s.hpt
like "a pipe is written" "$("$H" head -n 5 l.hpt -o >("$H" check - >said); sleep 0.3; cat said)" 'ok, 5 operations'
mkdir full
if mount -t tmpfs -o size=16k none full 2>/dev/null; then
    for command in "generate larson --ops 99999" "slice l.hpt" "fit l.hpt" "export --to csv l.hpt"; do
        exits "${command%% *} to a full disk" 3 "$H" $command -o full/f
        is "${command%% *} leaves no stump" "$(ls full)" ""
    done
    umount full
else
    skip "a full disk leaves no stump" "cannot mount"
fi
echo precious > doc.json
exits "replay: a document that cannot be written" 1 "$H" replay l.hpt --alloc glibc --samples 1 --json /nowhere/doc.json
exits "nor over a directory" 1 "$H" replay l.hpt --alloc glibc --samples 1 --json full
is "replay finds that out before it takes samples" "$("$H" replay l.hpt --alloc glibc --json /nowhere/doc.json 2>&1)" \
    'heaplay replay: /nowhere/doc.json: cannot be written: No such file or directory'
"$H" replay l.hpt --alloc nobody --json doc.json 2>/dev/null
is "a document from before outlives a replay that fails" "$(cat doc.json; ls doc.json*)" "precious
doc.json"
"$H" replay l.hpt --alloc glibc --samples 1 --json doc.json >/dev/null
like "and is replaced by one that does not" "$(head -c 40 doc.json)" '^\{'
tap_end
