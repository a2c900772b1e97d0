#!/bin/bash
# Importers and exporters: round trips, known input of each format, offences located, compression, damage.
SRC=${SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
OUT=${OUT:-$SRC/build/release}
case $OUT in /*) ;; *) OUT=$SRC/$OUT ;; esac
. "$SRC/scripts/tests/tap.sh"
H=$OUT/heaplay
[ -x "$H" ] || { echo "Bail out! $H is not built"; exit 1; }
cd "$TAP_TMP" || exit 1

calls() { "$H" cat "$1" | sed 's/^ *[0-9]* *[0-9.]* //'; }
reads() { # NAME FILE OPTIONS WANTED: imports the file and compares its calls
    "$H" import $3 "$2" -o out.hpt 2>said || cat said >&2
    is "$1" "$(calls out.hpt)" "$4"
    ok "$1: consistent" "$H" check out.hpt
}

"$H" generate larson --ops 20000 -o a.hpt
for format in android csv rep; do
    "$H" export --to $format a.hpt -o a.$format 2>/dev/null
    ok "$format: imported again" "$H" import --strict a.$format -o b.hpt
    "$H" export --to $format b.hpt -o b.$format 2>/dev/null
    ok "$format: the same after a round trip" cmp a.$format b.$format
done
"$H" import a.csv -o c.hpt 2>/dev/null
is "csv keeps everything" "$("$H" cat c.hpt | sha256sum)" "$("$H" cat a.hpt | sha256sum)"
"$H" generate mix --ops 5000 -o s.hpt
for format in android csv rep wl; do
    "$H" export --to $format - < s.hpt > s.$format 2>/dev/null
    "$H" import s.$format -o s2.hpt 2>/dev/null
    is "$format: the same calls on one thread, from a pipe" "$(calls s2.hpt | grep -v thread_ | sha256sum)" \
        "$(calls s.hpt | grep -v thread_ | sha256sum)"
done
"$H" export --to wl a.hpt -o a.wl
ok "wl: imported again" "$H" import --strict a.wl -o w.hpt
for thread in 0 1 2 3; do
    is "wl: the same calls on thread $thread" "$(calls w.hpt | grep "^t$thread " | sed 's/#[0-9]*//g' | sha256sum)" \
        "$(calls a.hpt | grep "^t$thread " | sed 's/#[0-9]*//g' | sha256sum)"
done
gzip -k a.android && xz -k a.csv
ok "gz is unpacked" "$H" import a.android.gz -o d.hpt
ok "xz is unpacked" "$H" import a.csv.xz -o d.hpt
ok "standard input" bash -c "'$H' import --from android - -o d.hpt < a.android"

printf '%s\n' '7: malloc 0x1000 100 10 20' '7: calloc 0x2000 3 7 100 120' '8: realloc 0x3000 0x1000 50 200 210' \
    '8: memalign 0x4000 64 9 300 310' '7: free 0x0 400 410' '7: free 0x2000 500 510 -1' '7: thread_done 0x0 600' \
    '7: free 0x3000 700 710' > t.android
reads "android" t.android "" 't0   thread_start()
t0   malloc(100) = #1
t0   calloc(3, 7) = #2
t1   thread_start()
t1   realloc(#1, 50) = #3
t1   memalign(align 64, 9) = #4
t0   free(NULL)
t0   free(#2)
t0   thread_end()
t2   thread_start()
t2   free(#3)'

printf '%s\n' 200 2 5 1 'a 0 512' 'a 1 128' 'r 0 640' 'f 1' 'f 0' > t.rep
reads "rep" t.rep "" 't0   malloc(512) = #1
t0   malloc(128) = #2
t0   realloc(#1, 640) = #3
t0   free(#2)
t0   free(#3)'

printf '%s\n' '= Start' '@ ./t:[0x11b0] + 0x10 0x64' '@ ./t:(main+0x1)[0x11d8] < 0x10' '@ ./t:(main+0x1)[0x11d8] > 0x20 0x1388' \
    '! 0x20 0xfff' '+ (nil) 0x5' '- 0x20' '= End' > t.mtrace
reads "mtrace" t.mtrace "" 't0   malloc(100) = #1
t0   realloc(#1, 5000) = #2
t0   malloc(5) = NULL
t0   free(#2)'

printf '%s\n' '==5== Memcheck, a memory error detector' '--5-- malloc(100) = 0x10' '--5-- realloc(0x0,7)malloc(7) = 0x20' \
    '--5-- memalign(al 64, size 200) = 0x30' '--5-- _Znwm(8) = 0x40' '--5-- _ZdlPvm(0x40)' '--5-- free(0x30)' > t.valgrind
reads "valgrind" t.valgrind "" 't0   malloc(100) = #1
t0   realloc(NULL, 7) = #2
t0   memalign(align 64, 200) = #3
t0   new(8) = #4
t0   delete(#4)
t0   free(#3)'

printf '%s\n' '--00:00:00:01.250 5-- _Znwm(4)_Znwm(24) = 0x10' '--00:00:00:01.251 5-- calloc(18,16) = 0x20' \
    '--00:00:00:01.251 5--  = 0x30' '--00:00:00:01.251 6-- malloc(9) = 0x10' '--00:00:00:01.252 5-- realloc(0x20,0)free(0x20)' \
    '--00:00:00:01.252 5-- malloc(3) = 0x20' '--00:00:00:01.252 5--  = 0' \
    '--00:00:00:01.253 5-- _ZnwmSt11align_val_tRKSt9nothrow_t(size 128, al 64) = 0x40' \
    '--00:00:00:01.253 5-- _ZdlPvSt11align_val_tRKSt9nothrow_t(0x40)' '--01:02:03:04.005 5-- free(0x30)' > t2.valgrind
reads "valgrind: calls in two parts, times, one process" t2.valgrind --strict 't0   new(24) = #1
t0   calloc(18, 16) = #2
t0   new(4) = #3
t0   realloc(#2, 0) = NULL
t0   malloc(3) = #4
t0   new_aligned(align 64, 128) = #5
t0   delete(#5)
t0   free(#3)'
like "valgrind: the time since the start" "$("$H" cat out.hpt | tail -1)" ' 93784\.00(5000|4999)'
like "valgrind: other processes are told of" "$(cat said)" 'other processes than the first'

printf '%s\n' 'v 10400 3' 'x 5 ./prg' 'c 0' '+ 64 1 7f10' 'c a' '+ 20 1 7f20' '- 7f10' > t.heaptrack
reads "heaptrack" t.heaptrack "" 't0   malloc(100) = #1
t0   malloc(32) = #2
t0   free(#1)'
like "heaptrack: times" "$("$H" cat out.hpt | tail -1)" '0\.0(10000000|099999)'
like "heaptrack: what times are right to" "$("$H" info out.hpt)" 'times +right to 10000 us'
like "heaptrack: the same in JSON" "$("$H" info --json out.hpt)" '"time_step_ns": 10000000,'
"$H" head -n 2 out.hpt -o part.hpt
like "heaptrack: and of a part" "$("$H" info part.hpt)" 'times +right to 10000 us'
{ printf '%s\n' 'v 10400 3' 'c 1'; for i in 1 2 3 4 5 6 7 8 9 a; do echo "+ 8 1 ${i}0"; done; printf '%s\n' 'c b' '- 10' '- 10' 'c b'; } > t3.heaptrack
"$H" import t3.heaptrack -o out.hpt 2>said
is "heaptrack: calls between two stamps are spread evenly" "$("$H" cat out.hpt | awk '{ printf "%.0f ", $2 * 1000 }')" \
    '1 2 3 4 5 6 7 8 9 10 11 '
like "heaptrack: offences keep their line" "$(cat said)" 'the first at line 15 '

# Binary formats, made by a script that knows their events.
python3 "$SRC/replay/tests/make_foreign.py" .
reads "wl" t.wl "" 't0   thread_start()
t1   thread_start()
t0   malloc(1234) = #1
t0   calloc(1, 300) = #2
t0   memalign(align 64, 128) = #3
t1   realloc(#1, 70000) = #4
t1   free(#4)
t1   free(NULL)
t1   malloc(9) = NULL
t1   valloc(10) = #5
t1   free(#5)
t1   malloc(20) = #6'
reads "proto" t.proto "" 't0   malloc(1234) = #1
t0   calloc(3, 7) = #2
t0   realloc(#1, 5000) = #3
t0   free(NULL)
t0   memalign(align 32, 64) = #4
t0   free_sized(#3, 5000)
t0   free(#2)'
reads "glibc-trace: an allocation waits for the free before it" t.glibc-trace "" 't0   thread_start()
t0   malloc(100) = #1
t0   free(#1)
t1   thread_start()
t1   malloc(50) = #2
t0   realloc(#2, 70) = #3
t1   memalign(align 64, 9) = #4
t1   posix_memalign(align 64, 5) = NULL
t1   calloc(1, 24) = #5
t0   free(#3)'
like "glibc-trace: inversions are counted" "$(cat said)" 'mended order: 1 '
for size in 28 32 36 40 64; do
    reads "glibc-trace: records of $size bytes of a 32-bit program" t$size.glibc-trace --strict 't0   thread_start()
t0   malloc(100) = #1
t0   calloc(1, 24) = #2
t1   thread_start()
t1   realloc(#1, 70) = #3
t1   free(#3)
t0   memalign(align 64, 9) = #4'
    like "glibc-trace: their size is told" "$(cat said)" "records of $size bytes"
done
reads "alk: a free waits for its token" t.alk "" 't0   thread_start()
t0   malloc(16) = #1
t0   malloc(40) = #2
t0   realloc(#2, 32) = #3
t1   thread_start()
t1   free(#1)
t1   malloc(32) = #4
t1   memalign(align 64, 32) = #5
t1   thread_end()'
reads "alk, processed" t.alk-processed "" 't0   thread_start()
t0   malloc(100) = #1
t0   memalign(align 64, 50) = #2
t1   thread_start()
t1   realloc(#1, 300) = #3
t1   free_sized(#2, 50)
t1   free(#3)
t1   thread_end()'
for file in t.wl t.proto t.glibc-trace t.alk t.alk-processed; do
    name=${file#t.}
    said=$("$H" import --strict $file -o out.hpt 2>&1)
    like "$name: recognised, and nothing skipped" "$?$said" "^0$file: ${name%-processed}: "
    head -c $(($(stat -c %s $file) - 1)) $file > cut.in
    [ $name = glibc-trace ] && truncate -s -1 cut.in
    "$H" import --from ${name%-processed} cut.in -o out.hpt 2>said
    like "$name: cut off is an offence" "$(cat said)" 'skipped or mended: 1 .*at byte [0-9]+'
done

printf '%s\n' '9 malloc(100) = 0x10' '9 libc.so.6->calloc(3, 0x7)      = 0x20' '9 realloc(0x10, 50 <unfinished ...>' \
    '8 _Znwm(8 <unfinished ...>' '8 malloc(8) = 0x30' '8 <... _Znwm resumed> , 1) = 0x30' '9 <... realloc resumed> ) = 0x40' \
    '8 puts("free(0x99)") = 11' '8 free(nil) = <void>' '9 free(0x20 <unfinished ...>' '8 malloc@libc.so.6(5) = 0x20' \
    '9 <... free resumed> ) = <void>' '9 +++ exited (status 0) +++' > t.ltrace
reads "ltrace" t.ltrace "" 't0   thread_start()
t0   malloc(100) = #1
t0   calloc(3, 7) = #2
t1   thread_start()
t1   new(8) = #3
t0   realloc(#1, 50) = #4
t1   free(NULL)
t0   free(#2)
t1   malloc(5) = #5'
printf '%s\n' '9 _Znwm(15, 0 <no return ...>' '8 +++ exited (status 0) +++' '9 <... _Znwm resumed> ) = 0x10 <0.000130>' \
    '9 _ZdlPv(0x10 <no return ...>' '8 +++ exited (status 0) +++' '9 <... _ZdlPv resumed> ) = 0' '9 malloc(3) = 0x10' > t4.ltrace
reads "ltrace: another thread ends within a call" t4.ltrace --strict 't0   thread_start()
t0   new(15) = #1
t0   delete(#1)
t0   malloc(3) = #2'
printf '%s\n' '[pid 7] 10:00:01.000064 malloc(1) = 0x10' '[pid 7] 10:00:01.000128 [0x4011] free(0x10) = <void>' > t2.ltrace
reads "ltrace: times and places" t2.ltrace "" 't0   thread_start()
t0   malloc(1) = #1
t0   free(#1)'
like "ltrace: the time of day" "$("$H" cat out.hpt | tail -1)" '36001\.000128'
like "ltrace: what times are right to" "$("$H" info out.hpt)" 'times +right to 1 us'
printf '%s\n' '9 10:00:01 posix_memalign(0x10, 64, 9) = 0' '9 10:00:01 posix_memalign( <unfinished ...>' \
    '8 10:00:02 posix_memalign(0x7ffe00, 64, 7, 3) = 0' '9 10:00:02 <... posix_memalign resumed> 0x20, 64, 8) = 0' \
    '9 10:00:03 posix_memalign(0x20, 64, 7) = 12' '9 10:00:03 free(0x20) = <void>' > t3.ltrace
reads "ltrace: what posix_memalign made" t3.ltrace "" 't0   thread_start()
t0   posix_memalign(align 64, 9) = #1
t0   posix_memalign(align 64, 8) = #2
t0   posix_memalign(align 64, 7) = NULL
t0   free(#2)'
like "ltrace: and where it is not printed" "$(cat said)" 'skipped or mended: 1 .* line 3 .*-F import/ltrace.conf'
like "ltrace: times of -t" "$("$H" info out.hpt)" 'times +right to 1e\+06 us'
printf '%s\n' ' 7 prog USER  malloc_init()' ' 7 prog CALL  open(0x1,0,0)' ' 7 prog USER  0x10 = malloc(100)' \
    ' 7 prog USER  0x20 = realloc(0x10, 50)' ' 7 prog USER  free(0x20)' > t.utrace
reads "utrace" t.utrace "" 't0   thread_start()
t0   malloc(100) = #1
t0   realloc(#1, 50) = #2
t0   free(#2)'
printf '%b\n' '@record-type:call-trace\ttimestamp-unix-ns\tcallstack\ttid\tname\targs\tresult\talloc-stack\tcpu-time-ns' \
    'call-trace\t1000\ta b\t70\tmalloc\t100\t7fa0\t\t1' 'call-trace\t1640\ta b\t71\tcalloc\t2 8\t7fb0\t\t1' \
    'call-trace\t1704\ta b\t71\tmmap\t0 8\t1\t\t1' 'call-trace\t1768\ta b\t71\trealloc\t7fa0 9\t7fc0\t\t1' \
    'call-trace\t1832\ta b\t70\tfree\t7fc0\t\t\t1' > t.ctsrd
reads "ctsrd" t.ctsrd "" 't0   thread_start()
t0   malloc(100) = #1
t1   thread_start()
t1   calloc(2, 8) = #2
t1   realloc(#1, 9) = #3
t0   free(#3)'
printf '%s\n' 'Attaching 15 probes...' '70 5000 malloc 100 = 0x10' '71 5064 posix_memalign 64 9 = 0x20' \
    '71 5128 realloc 0x10 7 = 0x30' '70 5192 free 0x30' '70 5256 calloc 2 3 = 0x0' > t.bpftrace
reads "bpftrace" t.bpftrace "" 't0   thread_start()
t0   malloc(100) = #1
t1   thread_start()
t1   posix_memalign(align 64, 9) = #2
t1   realloc(#1, 7) = #3
t0   free(#3)
t0   calloc(2, 3) = NULL'
printf '%s\n' 'v 10400 3' 's 3 abc' 't 1 0' 'a 64 1' '+ 0' 'a 20 1' '+ 1' '+ 0' '- 0' '- 0' '- 1' > t2.heaptrack
reads "heaptrack, interpreted: the newest of a class is freed" t2.heaptrack "" 't0   malloc(100) = #1
t0   malloc(32) = #2
t0   malloc(100) = #3
t0   free(#3)
t0   free(#1)
t0   free(#2)'
like "heaptrack, interpreted: the guess is stated" "$(cat said)" 'LIFO'
for file in t.ltrace t.utrace t.ctsrd t.bpftrace t2.heaptrack; do
    name=${file#*.}
    said=$("$H" import --strict $file -o out.hpt 2>&1)
    like "$name: recognised, and nothing skipped" "$?$said" "^0$file: $name: "
done

printf '%s\n' '1: malloc 0x10 8' '1: free 0x99' '1: bogus 0x1' '1: malloc 0x20 99999999999999999999999' '1: malloc 0x10 9' \
    '1: memalign 0x50 3 9' 'garbage' > t.bad
"$H" import t.bad -o out.hpt 2>said
is "offences do not stop an import" $? 0
like "they are counted" "$(cat said)" 'skipped or mended: 6 \(1 of unknown blocks, 1 onto live blocks\)'
like "how often each" "$(cat said)" '^ +1  alignment is not a power of two'
like "the first is located" "$(cat said)" 'line 2 .*not live'
ok "what remains is consistent" "$H" check out.hpt
exits "--strict makes them exit 3" 3 "$H" import --strict t.bad -o out.hpt
exits "an unknown format" 2 "$H" import --from nonsense t.bad -o out.hpt
exits "input of no known format" 3 "$H" import "$SRC/Makefile" -o out.hpt
exits "absent input" 3 "$H" import absent -o out.hpt
exits "no output named" 2 "$H" import t.bad

# Damage at random places: any exit but a crash, and never an inconsistent trace.
damage=0
for file in t.android a.android.gz; do
    size=$(stat -c %s $file)
    for round in 1 2 3 4 5 6; do
        cp $file d.in
        for hit in 1 2 3; do
            printf "\\x$(printf %x $((RANDOM % 256)))" | dd of=d.in bs=1 seek=$((RANDOM % size)) conv=notrunc 2>/dev/null
        done
        from=${file#t.}
        [ "$from" = "$file" ] && from=android
        timeout 10 "$H" import --from "$from" d.in -o d.hpt >/dev/null 2>&1
        status=$?
        [ $status -eq 0 ] || [ $status -eq 3 ] || { damage=1; echo "# exit $status of $from"; }
        [ $status -eq 3 ] || "$H" check d.hpt >/dev/null 2>&1 || { damage=1; echo "# inconsistent: $from"; }
    done
done
is "damaged input ends in 0 or 3" $damage 0
tap_end
