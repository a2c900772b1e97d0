#!/bin/bash
# portability.sh - builds cellmalloc with the compilers of other systems, runs a self-check of it, counts the results.
#
# Targets: musl on this processor, i386, arm64; what this machine cannot run itself runs under qemu-user.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# try NAME "RUNNER" COMPILER FLAGS...: one static program, run by RUNNER (nothing: directly).
try() {
    local name=$1 runner=$2 said status
    shift 2
    said=$("$@" -std=gnu11 -O2 -Wall -Wextra -D_GNU_SOURCE -fno-builtin-malloc -fno-builtin-calloc -Iallocator/include \
        -static -o "$work/$name" scripts/tests/portability.c allocator/src/*.c -lpthread 2>&1 &&
        timeout 600 $runner "$work/$name" 2>&1)
    status=$?
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        echo "pass  $name: $said"
    else
        failed=$((failed + 1))
        echo "FAIL  $name: exit status $status of: $*"
        sed 's/^/    /' <<<"$said" | head -40
    fi
}

try native "" cc
try musl "" musl-gcc
try i386 qemu-i386 gcc -m32 -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu"
try arm64 qemu-aarch64 aarch64-linux-gnu-gcc
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
