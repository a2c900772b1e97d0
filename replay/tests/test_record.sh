#!/bin/bash
# heaplay record on programs whose calls are known: what arrives, how programs may end, fork, exec, threads, errors.
SRC=${SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
OUT=${OUT:-$SRC/build/release}
case $OUT in /*) ;; *) OUT=$SRC/$OUT ;; esac
. "$SRC/scripts/tests/tap.sh"
HEAPLAY=$OUT/heaplay
TARGETS=$OUT/replay/tests/targets
cd "$TAP_TMP" || exit 1

record() { timeout 30 "$HEAPLAY" record -o "$@" >out.txt 2>err.txt </dev/null; status=$?; }
events() { "$HEAPLAY" cat "$1" | sed -E 's/^ *[0-9]+ +[0-9.]+ //'; }
# The calls between the two marks, ids counted from the first mark's.
between_marks() {
    events "$1" | awk '/malloc\(777001\)/ { on = 1; match($0, /#[0-9]+/); base = substr($0, RSTART + 1) + 0; next }
        /malloc\(777002\)/ { on = 0 }
        on { line = ""; while (match($0, /#[0-9]+/)) { line = line substr($0, 1, RSTART) (substr($0, RSTART + 1, RLENGTH - 1) - base)
             $0 = substr($0, RSTART + RLENGTH) } print line $0 }'
}
marked() { events "$1" | grep -c 'malloc(442)'; }
whole() { # NAME FILE...: each trace passes the reader's check, and nothing was lost
    local name=$1 f
    shift
    for f in "$@"; do ok "$name: $f passes heaplay check" "$HEAPLAY" check "$f"; done
    is "$name: nothing lost" "$(grep -c 'heaplay:.* [1-9][0-9]* lost' err.txt)" 0
}

record calls.hpt -- "$TARGETS/record_calls" 'an argument'
is "exit status is passed through" $status 7
whole calls calls.hpt
sizes=$(between_marks calls.hpt | sed -nE 's/.*malloc_usable_size\(#8\) = ([0-9]+)/\1/p')
ok "usable size is the allocator's answer" test "${sizes:-0}" -ge 77
is "every C call with its arguments" "$(between_marks calls.hpt)" "t0   malloc(100) = #1
t0   calloc(3, 50) = #2
t0   realloc(#1, 5000) = #3
t0   reallocarray(#3, 10, 800) = #4
t0   free(#2)
t0   realloc(NULL, 33) = #5
t0   free(#5)
t0   aligned_alloc(align 64, 128) = #6
t0   posix_memalign(align 4096, 300) = #7
t0   free(#6)
t0   free(#7)
t0   memalign(align 256, 77) = #8
t0   malloc_usable_size(#8) = $sizes
t0   free(#8)
t0   valloc(10) = #9
t0   free(#9)
t0   pvalloc(20) = #10
t0   free(#10)
t0   free(NULL)
t0   calloc(9223372036854775807, 4) = NULL
t0   realloc(#4, 9223372036854775807) = NULL
t0   free(#4)"
like "the command line is kept" "$("$HEAPLAY" info --json calls.hpt)" '"command": ".*record_calls an argument"'

cxx_wanted="t0   new(11) = #1
t0   delete(#1)
t0   new(12) = #2
t0   delete(#2)
t0   new(13) = #3
t0   delete(#3)
t0   new(14) = #4
t0   delete(#4)
t0   new(15) = #5
t0   delete_sized(#5, 15)
t0   new(16) = #6
t0   delete_sized(#6, 16)
t0   new_aligned(align 64, 17) = #7
t0   delete_aligned(#7, align 64, 0)
t0   new_aligned(align 64, 18) = #8
t0   delete_aligned(#8, align 64, 18)
t0   new_aligned(align 64, 19) = #9
t0   delete_aligned(#9, align 64, 0)
t0   delete(NULL)"
record cxx.hpt -- "$TARGETS/record_cxx"
whole c++ cxx.hpt
is "operator new and delete once each, with libstdc++" "$(between_marks cxx.hpt | head -19)" "$cxx_wanted"
like "a new that throws is a failed new" "$(between_marks cxx.hpt)" 'new\(4611686018427387903\) = NULL'

jemalloc=$(ldconfig -p | sed -n 's/.*libjemalloc\.so\.2 .* => //p' | head -1)
if [ -n "$jemalloc" ]; then
    LD_PRELOAD=$jemalloc record je.hpt -- "$TARGETS/record_cxx"
    whole jemalloc je.hpt
    is "operators of a preloaded jemalloc" "$(between_marks je.hpt | head -19)" "$cxx_wanted"
    like "the allocator is named" "$("$HEAPLAY" info --json je.hpt)" 'allocator .*libjemalloc'
else
    skip "operators of a preloaded jemalloc" "libjemalloc2 is not installed"
fi

for mode in crash:139 kill:137 _exit:42 dlopen:0 exec-fails:0 signals:0; do
    name=${mode%:*}
    record "$name.hpt" -- "$TARGETS/record_modes" "$name"
    is "$name: exit status" $status "${mode#*:}"
    is "$name: every call until then" "$(marked "$name.hpt")" 1000
    whole "$name" "$name.hpt"
done
like "signals: a handler's calls are there" "$(events signals.hpt)" 'realloc\(#[0-9]+, 1[01][0-9]\)'

record fork.hpt -- "$TARGETS/record_modes" fork
whole fork fork.hpt fork.1.hpt
is "fork: the child begins with its parent's blocks" "$(marked fork.1.hpt)" 1000
is "fork: and goes on by itself" "$(events fork.1.hpt | sed -nE '/5000/p' | sed 's/ = .*//')" "t0   malloc(5000)"
is "fork: the parent's trace has none of it" "$(events fork.hpt | grep -c 'malloc(5000)')" 0
record nested.hpt -- "$TARGETS/record_modes" nested
whole nested nested.hpt nested.1.hpt nested.2.hpt nested.3.hpt
is "nested forks: one trace for each" "$(echo nested*.hpt)" "nested.1.hpt nested.2.hpt nested.3.hpt nested.hpt"
is "nested forks: blocks of parent and grandparent" "$(events nested.3.hpt | grep -cE 'malloc\(500[012]\)')" 3
is "nested forks: blocks that an ancestor freed are not inherited" "$(marked nested.3.hpt)" 998
for name in exec vfork spawn; do
    record $name.hpt -- "$TARGETS/record_modes" $name
    whole $name $name.hpt $name.1.hpt
    is "$name: two images, two traces" "$(marked $name.hpt) $(marked $name.1.hpt)" "1000 1000"
done
record close.hpt -- "$TARGETS/record_modes" close
whole close close.hpt close.1.hpt close.2.hpt
record space.hpt -- "$TARGETS/record_modes" namespace
if [ $status -eq 77 ]; then
    skip "a child in another pid namespace" "not root"
else
    is "a child in another pid namespace: exit status" $status 0
    whole namespace space.hpt
    is "a child in another pid namespace: the program has its trace, the child none" "$(echo space*.hpt) $(marked space.hpt)" \
        "space.hpt 1000"
    like "a child in another pid namespace: is counted" "$(cat err.txt)" '1 processes could not be recorded .*pid namespace'
fi
record only.hpt --no-children -- "$TARGETS/record_modes" nested
is "--no-children: one trace" "$(echo only*.hpt)" only.hpt
whole --no-children only.hpt

record threads.hpt -- "$TARGETS/record_modes" threads
whole threads threads.hpt
is "8 threads: every allocation" "$(events threads.hpt | grep -cE 't[1-8] +malloc\((3[2-9])\)')" 160000
is "8 threads: every free finds its block" "$(events threads.hpt | grep -cE 't[1-8] +free\((#|NULL)')" 160000
record exchange.hpt -- "$TARGETS/record_modes" exchange
whole exchange exchange.hpt
is "2 threads that take each other's blocks at once: no free is seen before its allocation" \
    "$(grep -c 'frees of unknown blocks' err.txt) $("$HEAPLAY" info --json exchange.hpt | sed -nE 's/^ "cross_thread_frees": ([0-9]+),/\1/p' | grep -c '[0-9]\{3\}')" "0 1"
record churn.hpt -- "$TARGETS/record_modes" churn
whole churn churn.hpt
is "500 threads in turn, and 500 that never allocate: numbered" "$("$HEAPLAY" info --json churn.hpt | sed -nE 's/^ "threads": ([0-9]+),/\1/p')" 501
is "500 threads: each begins and ends" "$(events churn.hpt | grep -c thread_) $(events churn.hpt | grep -c 'malloc(64)')" "1002 500"
like "500 threads in turn: rings are used again (KiB resident)" "$(cat out.txt)" '^[1-9][0-9]{0,4}$'

record storm.hpt -- "$TARGETS/record_modes" storm
is "200 forks at once: exit status" $status 0
whole "200 forks at once" storm.hpt
is "200 forks at once: a trace for each child" "$(find . -name 'storm.*.hpt' | wc -l)" 200
bad=0
for f in storm.*.hpt; do
    [ "$f" = storm.hpt ] || { "$HEAPLAY" check "$f" >/dev/null && [ "$(events "$f" | grep -c 'malloc(600)')" = 100 ]; } || bad=$((bad + 1))
done
is "200 forks at once: each with its calls" $bad 0
record handlers.hpt -- "$TARGETS/record_modes" handlers
is "own handlers of SIGUSR1 and SIGUSR2: all signals came" $status 0
whole "own handlers" handlers.hpt
is "own handlers: every call" "$(events handlers.hpt | grep -c 'malloc(445)')" 10
record crowd.hpt -- "$TARGETS/record_modes" crowd
is "1100 threads at a time: the loss makes the exit status" $status 1
ok "1100 threads at a time: the trace passes heaplay check" "$HEAPLAY" check crowd.hpt
like "1100 threads at a time: the loss is counted" "$(cat err.txt)" 'heaplay: [1-9][0-9]* events of threads beyond 1024 were lost'

# What stands in the way of a trace.
mkdir blocked.1.hpt
record blocked.hpt -- sh -c 'ls >/dev/null; ls >/dev/null; exit 0'
is "a child without a trace makes the exit status" $status 1
like "a child without a trace: says so" "$(cat err.txt)" 'heaplay: 1 trace of children could not be written to the end'
is "a child without a trace is not counted as one" "$(sed -n 's/^heaplay: \([0-9]*\) more traces* of children.*/\1/p' err.txt)" \
    "$(find . -type f -name 'blocked.[0-9]*' | sed -n '$=')"
echo precious > notes.txt
record notes.txt -- ls
is "a file that is no trace is not overwritten" "$status $(cat notes.txt)" "2 precious"
like "a file that is no trace: says so" "$(cat err.txt)" '^heaplay record: notes.txt: is there already and not a .hpt trace'
"$HEAPLAY" generate mix --ops 9 -o old.hpt
record old.hpt -- ls
is "a trace is" "$status $("$HEAPLAY" info old.hpt | grep -c 'origin *recorded')" "0 1"
: > nothing
record nothing -- ls
is "and so is an empty file" $status 0
record idle.hpt --wait -- ls
like "an empty recording says why it may be: --wait" "$(cat err.txt)" 'idle.hpt holds no operation: it waited for SIGUSR1'
record idle.hpt --sample 1/1000000 -- true
like "an empty recording says why it may be: --sample" "$(cat err.txt)" 'idle.hpt holds no operation: no object was drawn'
record idle.hpt -- true
like "an empty recording says why it may be: no call" "$(cat err.txt)" 'idle.hpt holds no operation: the process called no allocator'

mkdir full
if mount -t tmpfs -o size=1m tmpfs full 2>/dev/null; then
    record full/full.hpt -- "$TARGETS/record_modes" random
    is "disk full: exit status" $status 1
    like "disk full: says so" "$(cat err.txt)" 'full/full.hpt: cannot write: No space left'
    like "disk full: the program ran to its end" "$(cat out.txt)" '^ended$'
    is "disk full: no children are counted" "$(grep -c 'of children' err.txt)" 0
    like "disk full: what there is can be read" "$("$HEAPLAY" check full/full.hpt 2>&1)" 'cut off .* whole up to event [1-9]'
    umount full
else
    skip "disk full" "no right to mount a tmpfs"
fi

record touch.hpt --touch -- "$TARGETS/record_modes" touch
whole touch touch.hpt
resident=$(events touch.hpt | sed -nE 's/.*free\(.* resident ([0-9]+)$/\1/p' | tr '\n' ' ')
read -r all half none _ <<<"$resident 0 0 0"
ok "--touch: what is resident of a block when it is freed ($resident)" \
    test "$all" -ge 300000 -a "$half" -ge 150000 -a "$half" -lt 160000 -a "$none" -le 8192
is "--touch: for these three only" "$(events touch.hpt | grep -c resident)" 3

record sample.hpt --sample 1/64 -- "$TARGETS/record_modes" objects
whole sample sample.hpt
made=$(events sample.hpt | grep -c ' malloc(443)') grown=$(events sample.hpt | grep -c ' realloc(.*, 887)')
freed=$(events sample.hpt | awk '/ malloc\(443\)/ { on[$NF] = 1 } / realloc\(.*, 887\)/ { on[$NF] = 1 }
    / free\(#/ { match($0, /#[0-9]+/); n += substr($0, RSTART, RLENGTH) in on } END { print n }')
ok "--sample 1/64: about one object of 64 ($made of 200000)" test "$made" -gt 2800 -a "$made" -lt 3450
ok "--sample: a realloc belongs to its object ($grown)" test "$grown" -gt 600 -a "$grown" -lt 970
is "--sample: every object to its free" "$freed" "$made"
like "--sample: the trace says so" "$("$HEAPLAY" info sample.hpt)" 'sampled +one object of 64'
like "--sample: so does the summary" "$(cat err.txt)" 'sample.hpt: .*, one object of 64$'
like "--sample: so does check" "$("$HEAPLAY" check sample.hpt)" '; one object of 64 was recorded'
like "--sample: so does verify" "$("$HEAPLAY" verify sample.hpt --alloc glibc 2>&1)" 'sample.hpt holds one object of 64'
record few.hpt --sites 2 --sample 1/8 -- "$TARGETS/record_modes" objects
like "--sample: so do its call sites" "$("$HEAPLAY" info --sites few.hpt)" '^one object of 8 was recorded: the program asked for about 8 times'
like "--sample: so does a result" "$("$HEAPLAY" replay sample.hpt --samples 1 --alloc glibc)" 'one object of 64, drawn at random'
"$HEAPLAY" head -n 100 sample.hpt -o part.hpt >/dev/null
like "--sample: and a part of it" "$("$HEAPLAY" info --json part.hpt)" '"sample": 64'

sites() { "$HEAPLAY" info --sites "$1" | sed -E 's/^ +//; s/ +/ /g'; }
record sites.hpt --sites 6 -- "$TARGETS/record_modes" threads
whole sites sites.hpt
like "--sites: bytes, calls, and the function that made them" "$(sites sites.hpt | sed -n 3,4p | tr '\n' ' ')" \
    '^5680000 160000 [0-9]+ record_modes\+0x[0-9a-f]+\(hand_to_next\+0x[0-9a-f]+\) $'
like "--sites: live at the peak" "$(sites sites.hpt | tr '\n' ' ')" ' 442000 1000 442000 record_modes\+0x[0-9a-f]+\((work|main)\+'
is "--sites: no stack is deeper" "$(sites sites.hpt | awk '/^[0-9]/ { n = 0; next } { if (++n > 6) bad++ } END { print bad + 0 }')" 0
is "--sites: calls add up to those of the trace" "$(sites sites.hpt | awk 'NR > 2 && NF == 3 && /^[0-9]/ { n += $2 } END { print n }')" \
    "$("$HEAPLAY" info --json sites.hpt | sed -nE 's/^ "allocations": ([0-9]+),/\1/p')"
version() { od -An -tu4 -j8 -N4 "$1" | tr -d ' '; }
is "--sites: the trace has version 2, others version 1" "$(version sites.hpt) $(version threads.hpt)" "2 1"
like "--sites: the trace says so" "$("$HEAPLAY" info --json sites.hpt | tr -d '\n ')" '"flags":\["time","threads","sites"\]'
"$HEAPLAY" anonymize sites.hpt -o nobody.hpt
exits "anonymize drops the call sites" 3 "$HEAPLAY" info --sites nobody.hpt
is "anonymize: and the version that they need" "$(version nobody.hpt)" 1
is "anonymize: and nothing else" "$("$HEAPLAY" cat nobody.hpt | cksum)" "$("$HEAPLAY" cat sites.hpt | cksum)"
like "info --sites of a trace without" "$("$HEAPLAY" info --sites threads.hpt 2>&1)" 'holds no call sites; record it with --sites'
record cxxsites.hpt --sites 1 -- "$TARGETS/record_cxx"
like "--sites: operator new is not the caller" "$(sites cxxsites.hpt | sed -n '/^12 1 /,+1p' | tr '\n' ' ')" 'record_cxx\+0x[0-9a-f]+\(main'
like "info --sites: names of C++ as in its sources" "$(sites cxxsites.hpt)" 'record_cxx\+0x[0-9a-f]+\(shelf::take\(unsigned long\)\+0x'
record forksites.hpt --sites 4 -- "$TARGETS/record_modes" fork
whole "sites of a forked child" forksites.hpt forksites.1.hpt
like "--sites: a forked child tells its own" "$(sites forksites.1.hpt | tr '\n' ' ')" '5000 1 5000 record_modes\+0x[0-9a-f]+\((fork_child|main)\+'
like "--sites: what it inherited has none" "$(sites forksites.1.hpt | tr '\n' ' ')" ' 442000 1000 441558 5000 1 5000 '

wait_for() { local i; for ((i = 0; i < 1500; i++)); do [ -e "$1" ] && { [ -z "$2" ] || grep -q "$2" "$1"; } && return; sleep 0.01; done; }
limited() { # NAME OPTION...: the program goes on after the limit, and its own status is passed through
    local name=$1
    shift
    rm -f running enough err.txt       # the run before left one that says so, too
    "$HEAPLAY" record -o limited.hpt "$@" -- "$TARGETS/record_modes" steady >out.txt 2>err.txt &
    wait_for err.txt 'the program runs on'
    ok "$name: the program still runs" kill -0 $!
    touch enough
    wait $!
    is "$name: its exit status" $? 0
    like "$name: says so" "$(cat err.txt)" "the recording ends by $name; the program runs on"
    whole "$name" limited.hpt
    ok "$name: calls until then are there" test "$(marked limited.hpt)" -ge 100
}
limited --time-limit --time-limit 0.2
limited --size-limit --size-limit 1K

rm -f running enough
"$HEAPLAY" record -o late.hpt --wait -- "$TARGETS/record_modes" steady >out.txt 2>err.txt &
wait_for running
ok "--wait: nothing is written yet" test ! -s late.hpt
kill -USR1 $!
wait_for err.txt 'the recording begins'
sleep 0.1
kill -USR2 $!
wait_for err.txt 'ends by SIGUSR2'
touch enough
wait $!
is "--wait: exit status" $? 0
whole --wait late.hpt
ok "--wait: what came between the signals" test "$(marked late.hpt)" -ge 100
is "--wait: nothing from before" "$(events late.hpt | grep -c 'malloc(444)')" 0

"$HEAPLAY" record -o dead.hpt -- "$TARGETS/record_modes" orphan >/dev/null 2>&1 &
collector=$!
for ((i = 0; i < 500; i++)); do [ -e ready ] && break; sleep 0.01; done
{ kill -KILL $collector; wait $collector; } 2>/dev/null
for ((i = 0; i < 1500; i++)); do [ -e survived ] && break; sleep 0.01; done
ok "heaplay is killed: its program goes on unrecorded" test -e survived

record python.hpt -- /usr/bin/python3 -c 'print(len([str(i) for i in range(10000)]))'
is "python3: its output is untouched" "$(cat out.txt)" 10000
whole python3 python.hpt
record sh.hpt -- /bin/sh -c 'exit 5'
is "a shell's exit status" $status 5

refused() { # NAME CODE REGEX ARGUMENTS...
    local name=$1 code=$2 regex=$3
    shift 3
    record "$@"
    is "$name: exit code" $status "$code"
    is "$name: one line" "$(wc -l <err.txt)" 1
    like "$name: says why" "$(cat err.txt)" "$regex"
}
refused "program not found" 2 'nonsuch: program not found' no.hpt -- nonsuch
ok "no trace is left behind" test ! -e no.hpt
refused "unwritable output" 2 'nodir/x.hpt: cannot be written: No such file' nodir/x.hpt -- /bin/true
refused "not executable" 2 'cannot be run: Permission denied' no.hpt -- "$SRC/Makefile"
refused "static program" 3 'cannot be recorded because it is statically linked; ' no.hpt -- "$TARGETS/record_static"
printf '#!%s\n' "$TARGETS/record_static" >script && chmod +x script
refused "script of a static interpreter" 3 'script is a script, and its interpreter .* statically linked' no.hpt -- ./script
cp "$TARGETS/record_calls" setuid && chmod 4755 setuid && chown 65534 setuid 2>/dev/null
if [ "$(stat -c %u setuid)" != "$(id -u)" ] && chmod 4755 setuid; then
    refused "setuid program" 3 'cannot be recorded because it is setuid' no.hpt -- ./setuid
else
    skip "setuid program" "not root"
fi
printf '\177ELF\001\001\001' >elf32 && head -c 100 /dev/zero >>elf32 && chmod +x elf32
refused "32-bit program" 3 'cannot be recorded because it is a 32-bit program' no.hpt -- ./elf32
for bad in '--sites 0' '--sites 33' '--sample 64' '--sample 1/1' '--time-limit 0' '--time-limit x' '--size-limit 0' '--size-limit 1X'; do
    # shellcheck disable=SC2086
    exits "$bad" 2 "$HEAPLAY" record $bad -o x.hpt -- /bin/true
done
exits "no program" 2 "$HEAPLAY" record -o x.hpt
tap_end
