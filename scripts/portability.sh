#!/bin/bash
# portability.sh [TARGET] - builds cellmalloc with the compilers and C libraries of other systems, runs it there, and prints a table.
#
# Each target is built by the makefile with its warnings as errors. Then, in columns:
#   archive   a self-check linked statically with libcellmalloc.a       linked   the same, dynamically
#   preload   the self-check with libcellmalloc.so preloaded            calls    conformance/calls prints what it prints without
#   C++       conformance/operators, linked with libcellmalloc.so       names    nm -D shows the public names and no other
# What this processor cannot run itself runs under qemu-user, which also takes the place of kernels with pages of 16 and 64 KiB. A dash:
# there is no such program for the target. TARGET: only those whose name holds this text, as in i386. Exits 1 when anything failed, 2 when a compiler is missing.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 2
only=${1:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
columns=(build archive linked preload calls C++ names)
failed=0
passed=0
rows=()
make=${MAKE:-make}

# attempt COLUMN COMMAND...: one cell of the target's row; what a failure printed is shown at once.
attempt() {
    local column=$1 said status
    shift
    said=$("$@" 2>&1)
    status=$?
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        row+=" pass"
    else
        failed=$((failed + 1))
        row+=" FAIL"
        echo "FAIL  $name, $column: exit status $status"
        sed 's/^/    /' <<<"$said" | tail -n 40 | cut -c 1-300
    fi
    return $status
}

build() {
    $make --no-print-directory --silent -j"$(nproc)" BUILD=release OUT="$out" CC="$cc" LD="$ld" CFLAGS="$cflags" LDFLAGS="$cflags" \
        "$out/libcellmalloc.so" "$out/libcellmalloc.a"
}

selfcheck() { # FLAGS...: what portability.c prints, built so
    $cc $cflags -std=gnu11 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -fno-builtin -Iallocator/include -o "$out/check" \
        scripts/tests/portability.c "$@" -lpthread && timeout 600 $run "$out/check"
}

# preloaded PROGRAM: qemu takes the variable for the program only, not for itself.
preloaded() {
    case $run in
    *qemu*) timeout 600 $run -E LD_PRELOAD="$out/libcellmalloc.so" "$1" ;;
    *) timeout 600 $run env LD_PRELOAD="$out/libcellmalloc.so" "$1" ;;
    esac
}

preload() {
    $cc $cflags -std=gnu11 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -DPRELOADED -fno-builtin -Iallocator/include -o "$out/preload" \
        scripts/tests/portability.c -lpthread && preloaded "$out/preload"
}

calls() {
    $cc $cflags -std=gnu11 -O1 -D_GNU_SOURCE -fno-builtin -w -o "$out/calls" allocator/tests/conformance/calls.c -lpthread -ldl &&
        $run "$out/calls" >"$out/calls.wanted" && preloaded "$out/calls" >"$out/calls.got" && diff "$out/calls.wanted" "$out/calls.got"
}

operators() {
    local flags="$cflags -std=c++17 -O1 -D_GNU_SOURCE -fno-builtin -fsized-deallocation -w" source=allocator/tests/conformance/operators.cpp
    $cxx $flags -o "$out/operators.wanted" $source -lpthread &&
        $cxx $flags -include cellmalloc.h -Iallocator/include -o "$out/operators" $source "$out/libcellmalloc.so" -Wl,-rpath,"$out" -lpthread &&
        readelf -d "$out/operators" | grep -q 'NEEDED.*libcellmalloc' &&
        diff <($run "$out/operators.wanted"; echo $?) <($run "$out/operators"; echo $?)
}

# target NAME "RUNNER" "C COMPILER" "C++ COMPILER" "FLAGS" LINKER: a row; a dash for the C++ compiler leaves that cell out.
target() {
    name=$1 run=$2 cc=$3 cxx=$4 cflags=$5 ld=$6 row= out=$work/${1// /-}
    [[ $name == *"$only"* ]] || return
    for tool in "${cc%% *}" "${cxx/#-/true}" ${run%% *}; do
        command -v "$tool" >/dev/null || { echo "portability: $name needs $tool; make test-portability installs it" >&2; exit 2; }
    done
    if attempt build build; then
        attempt archive selfcheck -static "$out/libcellmalloc.a"
        attempt linked selfcheck "$out/libcellmalloc.a"
        attempt preload preload
        if [ "$libc" = glibc ]; then attempt calls calls; else row+=" -"; fi
        if [ "$cxx" != - ]; then attempt C++ operators; else row+=" -"; fi
        attempt names env LIBC=$libc OUT="$out" SRC="$PWD" bash allocator/tests/api/test_names.sh
    else
        row+=" - - - - - -"
    fi
    rows+=("$name:$row")
}

# pages NAME "RUNNER": the programs of the target before, under another size of pages.
pages() {
    name=$1 run=$2 row=" -"
    [[ $name == *"$only"* ]] || return
    attempt archive selfcheck -static "$out/libcellmalloc.a"
    attempt linked selfcheck "$out/libcellmalloc.a"
    attempt preload preload
    attempt calls calls
    attempt C++ operators
    rows+=("$name:$row -")
}

libc=glibc
target "x86-64 gcc" "" gcc g++ "" ld
target "x86-64 clang" "" clang clang++ "" ld
headers="-idirafter /usr/include -idirafter /usr/include/$(uname -m)-linux-gnu"
limit="prlimit --as=1500000000"      # else 32 bits leave room for blocks that the programs take for impossible
target "i386 gcc" "$limit" gcc g++ "-m32 $headers" "ld -m elf_i386"
target "i386 clang" "$limit" clang - "-m32 $headers" "ld -m elf_i386"
cross=/usr/aarch64-linux-gnu
target "arm64 gcc" "qemu-aarch64 -L $cross" aarch64-linux-gnu-gcc aarch64-linux-gnu-g++ "" aarch64-linux-gnu-ld
pages "arm64, 16 KiB pages" "qemu-aarch64 -p 16384 -L $cross"
pages "arm64, 64 KiB pages" "qemu-aarch64 -p 65536 -L $cross"
libc=musl
target "x86-64 musl" "" musl-gcc - "" ld

printf '\n%-22s' ""
printf '%-9s' "${columns[@]}"
printf '\n'
for row in "${rows[@]}"; do
    printf '%-22s' "${row%%:*}"
    printf '%-9s' ${row#*:}
    printf '\n'
done
echo "$passed passed, $failed failed"
[ $passed -gt 0 ] && [ $failed -eq 0 ]
