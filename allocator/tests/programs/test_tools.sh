#!/usr/bin/env bash
# Compilers, interpreters and tools with cellmalloc preloaded: output and exit status are those under the C library's allocator.
source "$SRC/allocator/tests/programs/same.sh" || exit 1
seq 1 60000 | sed 's/$/ some words to sort and to pack/' >lines

# The checks below must notice what never calls cellmalloc.
notices() { # NAME REGEX COMMAND PROGRAM
    traced "$3"
    like "$1" "$(unloaded "$4")" "$2"
}
cc -O1 -o words words.c && cc -O0 -g -o words-g words.c && cc -O1 -static -o words-static words.c && cc -shared -fPIC -o past.so past.c && cc -o deepbind deepbind.c -ldl ||
    echo "Bail out! the programs of input/ do not build"
notices "a program linked statically is noticed" "words-static left no trace" ./words-static words-static
notices "a library loaded past cellmalloc (RTLD_DEEPBIND) is noticed" "past cellmalloc: .*past.so" ./deepbind deepbind
notices "a program that did not run is noticed" "words left no trace" "cat lines" words
notices "a program without cellmalloc is noticed" "past cellmalloc: .*words.* to .*libc" "LD_PRELOAD= ./words" words
cp words words-setuid
if [ "$(id -u)" -ne 0 ]; then
    skip "a setuid program is noticed" "only root can make one of another user"
elif chown daemon words-setuid && chmod u+s words-setuid && LD_PRELOAD=$work/absent.so ./words-setuid 2>&1 | grep -q absent; then
    skip "a setuid program is noticed" "set-user-ID bits have no effect in $work (nosuid, or no new privileges)"
else
    notices "a setuid program is noticed" "words-setuid (left no trace|did not have malloc)" ./words-setuid words-setuid
fi

same "a program of ours" words words
same "gcc makes the same object" "gcc cc1 as" 'gcc -O2 -g -c -o o.o words.c; md5sum <o.o'
same "g++ makes the same object" "g++ cc1plus" 'g++ -O2 -c -o o.o words.cpp; md5sum <o.o'
same "gcc links the same program" "gcc ld" 'gcc -O1 -o o words.c && ./o; md5sum <o'
same "clang makes the same object" clang 'clang -O2 -g -c -o o.o words.c; md5sum <o.o'
same "clang++ makes the same object" clang++ 'clang++ -O2 -c -o o.o words.cpp; md5sum <o.o'
same "rustc makes the same object" rustc 'rustc -O --emit=obj --crate-type=lib -o o.o words.rs; md5sum <o.o'
same "perl" perl "perl -ne '\$n{\$_ % 977} .= \$_; END { print length(join(\"\", map { \$n{\$_} } sort keys %n)), qq(\\n) }' lines"
same "awk" awk "awk '{ n[\$1 % 977] = n[\$1 % 977] \$0 } END { for (i in n) t += length(n[i]); print t }' lines"
same "sort" sort 'sort -k1,1r --parallel=4 -S 1M lines | md5sum'
same "tar and xz" "xz tar" 'tar --sort=name --mtime=@0 --owner=0 --group=0 -c lines words.c | xz -T2 -1 | xz -dc | tar -xO | md5sum'
same "zstd" zstd 'zstd -T2 -12 -c lines | zstd -dc | md5sum'
same "bash" bash 'bash -c '\''for i in {1..3000}; do a[i]=$i$i; done; s=${a[*]}; echo ${#s} $(echo a | cat)'\'
same "make" make 'for i in {1..300}; do echo "t$i: $(seq -f t%g -s " " $((i + 1)) 7 300); @echo \$@ \$(words \$^)"; done >Makefile; make -s t1'
same "sqlite3" sqlite3 "sqlite3 :memory: 'with recursive n(i) as (select 1 union all select i+1 from n where i<50000)
    select count(*), sum(length(x)), group_concat(distinct i%7) from (select i, hex(i*i)||i as x from n order by x)'"
same "git" git 'rm -rf r && git init -q r && cd r && cp ../lines ../words.* . && git add . &&
    GIT_AUTHOR_DATE="2000-01-01 0:0 +0" GIT_COMMITTER_DATE="2000-01-01 0:0 +0" git -c user.name=n -c user.email=e commit -qm m &&
    git repack -qadf && git fsck 2>/dev/null && git log --stat | cat && git cat-file --batch-all-objects --batch-check'
same "node" node 'node -e "let m = {}; for (let i = 0; i < 200000; i++) m[i * 7919 % 10007] = \"x\".repeat(i % 50); console.log(Object.keys(m).length, JSON.stringify(m).length)"'
same "ruby" ruby 'ruby -e "h = Hash.new; 100000.times { |i| h[i * 7919 % 10007] = (\"x\" * (i % 50)).upcase }; puts h.size, h.values.join.size"'
same "lua" lua 'lua -e "local t = {} for i = 1, 100000 do t[i * 7919 % 10007] = string.rep(\"x\", i % 50) end local n = 0 for _, v in pairs(t) do n = n + #v end print(n)"'
# php loads its extensions with RTLD_DEEPBIND, which takes them past any preloaded malloc: -n leaves them out.
same "php" php "php -n -r '\$a = []; for (\$i = 0; \$i < 200000; \$i++) \$a[\$i * 7919 % 10007] = str_repeat(\"x\", \$i % 50); echo count(\$a), \" \", strlen(serialize(\$a));'"
same "tcl" tclsh 'tclsh <<<"for {set i 0} {\$i < 50000} {incr i} { dict append d [expr {\$i * 7919 % 10007}] x\$i }; puts [dict size \$d]; puts [string length \$d]"'
same "guile" guile 'guile --no-auto-compile -c "(define h (make-hash-table)) (do ((i 0 (+ i 1))) ((= i 100000)) (hash-set! h (modulo (* i 7919) 10007) (make-string (modulo i 50) #\\x))) (display (hash-fold (lambda (k v n) (+ n (string-length v))) 0 h))"'
same "javac makes the same classes" javac 'rm -f W.class && javac -J-Xmx128m W.java && md5sum W.class'
if type -P javac >/dev/null; then
    same "java" java 'java -Xmx128m W'
else
    skip "java" "javac is not installed"
fi
# Only gdb runs on cellmalloc, not what it debugs: its libraries would add to gdb's output. Addresses are drawn at random on some machines.
gdb="gdb -nx -q -batch -ex 'set startup-with-shell off' -ex 'set disable-randomization off' -ex 'unset environment LD_PRELOAD'"
same "gdb reads a program" gdb "$gdb -ex 'info line words_in' -ex 'info functions words' -ex 'ptype struct node' -ex 'disassemble main' words-g"
debugged="$gdb -ex 'break words_in' -ex run -ex bt -ex delete -ex finish words-g </dev/null"
if ! type -P gdb >/dev/null || bash -c "$debugged" 2>&1 | grep -q 'Value returned'; then
    same "gdb runs a program" gdb "$debugged 2>&1 | sed -E 's/0x[0-9a-f]+/0x/g'" "$gdb -ex 'info line main' words-g"
else
    skip "gdb runs a program" "gdb cannot run one here: $(bash -c "$debugged" 2>&1 | grep -E 'warning|ptrace|exited|not being run' | tail -n 3 | tr '\n' ' ')"
fi
same "openssl" openssl 'openssl dgst -sha256 lines; openssl enc -aes-256-ctr -pbkdf2 -nosalt -pass pass:x -in lines | md5sum; openssl asn1parse -genstr UTF8:x'
same "jq" jq 'seq 30000 | jq -n "[inputs | {key: tostring, value: (. * 7)}] | from_entries | to_entries | map(.value) | add"'
same "xsltproc" xsltproc 'xsltproc words.xsl <(echo "<w>"; sed "s/.*/<l>&<\/l>/" lines | head -20000; echo "</w>") | md5sum'
same "graphviz" dot 'seq 60 | awk '\''BEGIN { print "digraph {" } { print $1 " -> " ($1 * 7 % 61) "; " $1 " -> " ($1 * 11 % 61) } END { print "}" }'\'' | dot -Tsvg | md5sum'
same "z3" z3 'z3 -smt2 queens.smt2'
same "vim" vim 'head -3000 lines >v && vim -u NONE -es -c "%s/words/&&/g" -c "g/7/d" -c "sort! n" -c "wq! w" v; md5sum <w'
same "emacs" emacs 'emacs -Q --batch --insert lines --eval "(progn (sort-lines t (point-min) (point-max)) (garbage-collect) (princ (md5 (buffer-string))))"'
same "cmake" cmake 'cmake -P words.cmake'
same "systemd-analyze" systemd-analyze 'systemd-analyze calendar --iterations=9 --base-time="2024-01-01 UTC" "Mon..Fri *-*-1,15 6:00" 2>&1 | grep -v "From now"
    systemd-analyze syscall-filter; systemd-analyze timespan 1h5m; systemd-analyze --man=no verify "$PWD/words.service"'
same "journalctl" journalctl 'rm -rf j && mkdir -p j/usr/lib/systemd j/var/lib/systemd/catalog && cp -r /usr/lib/systemd/catalog j/usr/lib/systemd/ &&
    journalctl --root="$PWD/j" --update-catalog; journalctl --root="$PWD/j" --list-catalog | tail -n 30; ls -l j/var/lib/systemd/catalog | wc -l'
same "systemd-sysusers and tmpfiles" "systemd-sysusers systemd-tmpfiles" 'systemd-sysusers --dry-run --root="$PWD/j" /usr/lib/sysusers.d/*.conf; systemd-tmpfiles --cat-config | md5sum'
same "ghostscript" gs 'gs -q -dSAFER -dBATCH -dNOPAUSE -sDEVICE=ppmraw -r50 -sOutputFile=- words.ps | md5sum'
same "ffmpeg" ffmpeg 'ffmpeg -v error -nostdin -f lavfi -i testsrc=duration=1:size=320x240:rate=10 -c:v mpeg4 -threads 2 -flags +bitexact -f avi - | md5sum;
    ffmpeg -v error -nostdin -f lavfi -i sine=duration=1 -flags +bitexact -fflags +bitexact -f framemd5 -'
same "pdflatex" pdflatex 'SOURCE_DATE_EPOCH=0 FORCE_SOURCE_DATE=1 pdflatex -interaction=batchmode words.tex >/dev/null; sed "s,/ID.*,," words.pdf | md5sum; pdftotext words.pdf - 2>&1 | md5sum'
tap_end
