#!/bin/bash
# heaplay record --pid: what arrives from programs that run already, and that they run on as they were; who is refused.
SRC=${SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
OUT=${OUT:-$SRC/build/release}
case $OUT in /*) ;; *) OUT=$SRC/$OUT ;; esac
. "$SRC/scripts/tests/tap.sh"
HEAPLAY=$OUT/heaplay
TARGETS=$OUT/replay/tests/targets
cd "$TAP_TMP" || exit 1

if [ "$(uname -m)" != x86_64 ]; then
    "$HEAPLAY" record --pid $PPID 2>err.txt
    like "--pid on this processor" "$(cat err.txt)" 'cannot be recorded'
    tap_end
fi
mkdir asleep
(cd asleep && exec "$TARGETS/record_running" known) & sleeper=$!
while [ ! -e asleep/running ]; do sleep 0.01; done
if ! "$HEAPLAY" record -o probe.hpt --pid $sleeper --time-limit 0.01 2>err.txt; then
    skip "heaplay record --pid" "$(cat err.txt)"
    kill $sleeper
    tap_end
fi

wait_for() { local i; for ((i = 0; i < 3000; i++)); do [ -e "$1" ] && { [ -z "$2" ] || grep -q "$2" "$1"; } && return; sleep 0.01; done; }
begin() { # MODE: starts the program in the background: $target
    rm -f running go done
    "$TARGETS/record_running" "$1" & target=$!
    wait_for running
}
attach() { # FILE OPTION...: heaplay comes to it: $collector
    local file=$1
    shift
    rm -f err.txt
    "$HEAPLAY" record -o "$file" --pid $target "$@" >out.txt 2>err.txt & collector=$!
    wait_for err.txt 'is recorded'
}
ends_well() { # NAME FILE: the recording and the program
    wait $collector
    is "$1: exit status of heaplay" $? 0
    is "$1: nothing lost" "$(grep -c 'heaplay:.* [1-9][0-9]* lost' err.txt)" 0
    ok "$1: the trace passes heaplay check" "$HEAPLAY" check "$2"
    ok "$1: the program runs on" kill -0 $target
    kill -TERM $target
    wait $target
    is "$1: as it was, and with its own malloc" $? 5
}
calls() { "$HEAPLAY" info --json "$1" | sed -nE 's/.*"operations": ([0-9]+),.*/\1/p'; }
events() { "$HEAPLAY" cat "$1" | sed -E 's/^ *[0-9]+ +[0-9.]+ //'; }

begin known
attach known.hpt
touch go
wait_for done
kill -TERM $collector
ends_well known known.hpt
like "known: ended by a signal" "$(cat err.txt)" 'the recording ends by a signal; the program runs on'
like "known: blocks from before are counted" "$(cat err.txt)" ', 11 frees of unknown blocks left out'
is "known: every call, those of the C library too" "$(events known.hpt | sed -n '/malloc(777001)/,/malloc(777002)/p' |
    sed -E 's/#[0-9]+/#/g; s/^t0 +//')" "malloc(777001) = #
realloc(NULL, 3000) = #
free(#)
free(#)
malloc(100) = #
realloc(#, 5000) = #
free(#)
calloc(3, 50) = #
free(#)
posix_memalign(align 4096, 300) = #
free(#)
malloc(29) = #
free(#)
malloc(777002) = #"

for mode in spin signals threads; do
    begin $mode
    attach $mode.hpt --time-limit 0.1
    ends_well $mode $mode.hpt
    ok "$mode: its calls are there" test "$(calls $mode.hpt)" -ge 1000
done
like "threads: more than one is recorded" "$("$HEAPLAY" info --json threads.hpt)" '"threads": ([89]|[1-9][0-9]+)'

begin threads
for i in 1 2 3 4 5; do
    attach again.hpt --time-limit 0.05
    wait $collector
    status=$?
    is "threads: recording $i of the same program" $status 0
    [ $status -eq 0 ] || tap_note "$(cat err.txt)"
done
attach again.hpt --sample 1/16 --size-limit 10K
ends_well "once more" again.hpt

begin fork
attach fork.hpt
touch go
wait_for done
kill -USR2 $collector
ends_well "forking program" fork.hpt
like "its children have traces" "$(echo fork.*.hpt)" 'fork.1.hpt fork.'

begin load
attach load.hpt
touch go
wait_for done
kill -TERM $collector
ends_well "library loaded meanwhile" load.hpt
ok "library loaded meanwhile: its calls are there ($(events load.hpt | grep -c malloc))" \
    test "$(events load.hpt | grep -c malloc)" -ge 100

begin exec
attach exec.hpt --time-limit 20
touch go
wait $collector
is "program that executes another: exit status of heaplay" $? 0
like "program that executes another: it says so" "$(cat err.txt)" 'has executed another one, which is not recorded'
kill -TERM $target
wait $target
is "program that executes another: runs on" $? 5

begin spin
attach orphan.hpt
{ kill -KILL $collector; wait $collector; } 2>/dev/null
sleep 0.2
ok "heaplay is killed: its program goes on" kill -0 $target
attach orphan2.hpt --time-limit 0.05
wait $collector
is "heaplay is killed: the next one records it" $? 0
kill -TERM $target
wait $target
is "heaplay is killed: the next one gives the program its own malloc back" $? 5

PYTHONMALLOC=malloc /usr/bin/python3 -c '
import json, os, threading
def work():
    while not os.path.exists("enough"):
        json.loads(json.dumps([{"a": i} for i in range(300)]))
workers = [threading.Thread(target=work) for _ in range(2)]
for worker in workers: worker.start()
open("running", "w").close()
for worker in workers: worker.join()
print(sum(range(1000)))' >python.txt & target=$!
rm -f running
wait_for running
attach python.hpt --time-limit 0.1
wait $collector
is "python3: exit status of heaplay" $? 0
ok "python3: its calls are there" test "$(calls python.hpt)" -ge 1000
touch enough
wait $target
is "python3: exit status" $? 0
is "python3: output" "$(cat python.txt)" 499500

refused() { # NAME CODE REGEX ARGUMENTS...
    local name=$1 code=$2 regex=$3
    shift 3
    timeout 30 "$@" >out.txt 2>err.txt </dev/null
    is "$name: exit code" $? "$code"
    is "$name: one line" "$(wc -l <err.txt)" 1
    like "$name: says why" "$(cat err.txt)" "$regex"
    ok "$name: no trace is left behind" test ! -e no.hpt
}
record="$HEAPLAY record -o no.hpt --pid"
record=("$HEAPLAY" record -o no.hpt --pid)
refused "no such process" 2 'pid 4194303: no such process; ' "${record[@]}" 4194303
"$TARGETS/record_static_pause" & other=$!
refused "static program" 3 'cannot be recorded because it is statically linked; ' "${record[@]}" $other
kill $other
kill -STOP $sleeper
for ((i = 0; i < 500; i++)); do grep -q '^State:.T' /proc/$sleeper/status && break; sleep 0.01; done
refused "stopped program" 3 'because it is stopped; ' "${record[@]}" $sleeper
kill -CONT $sleeper
"$HEAPLAY" record -o under.hpt -- "$TARGETS/record_running" known 2>started.txt & collector=$!
rm -f running
wait_for running
target=$(pgrep -P $collector record_running)
refused "program that heaplay started" 3 'because another heaplay records it; ' "${record[@]}" "$target"
kill -USR2 $collector
wait_for started.txt 'the program runs on'
touch go
"$HEAPLAY" record -o after.hpt --pid "$target" --time-limit 0.5 2>err.txt
is "program that heaplay started, when its recording has ended: exit code" $? 0
ok "and its calls are there" test "$(events after.hpt | grep -c malloc)" -ge 100
kill -TERM "$target"
wait $collector
begin known
attach first.hpt
refused "program that heaplay records" 3 'because another heaplay records it; ' "${record[@]}" $target
kill -TERM $collector
ends_well "the first recording" first.hpt
refused "thread of the kernel" 3 'cannot be recorded because ' "${record[@]}" 2
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null && setpriv --reuid=65534 --clear-groups test -x "$HEAPLAY"; then
    refused "another user's program" 3 'because it belongs to another user \(uid 0\); ' setpriv --reuid=65534 --clear-groups \
        "$HEAPLAY" record -o /tmp/no.hpt --pid $sleeper
else
    skip "another user's program" "needs root and setpriv"
fi
if command -v gdb >/dev/null; then
    timeout 60 gdb -p $sleeper -batch -ex "shell ${record[*]} $sleeper >out.txt 2>err.txt; echo \$? >code.txt" >/dev/null 2>&1
    is "program in a debugger: exit code" "$(cat code.txt)" 3
    like "program in a debugger: says why" "$(cat err.txt)" 'because process [0-9]+ traces it; end that debugger first'
else
    skip "program in a debugger" "gdb is not installed"
fi
kill $sleeper
for bad in '--pid x' '--pid 0' "--pid $$ -- /bin/true"; do
    # shellcheck disable=SC2086
    exits "$bad" 2 "$HEAPLAY" record -o no.hpt $bad
done
tap_end
