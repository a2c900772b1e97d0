# same.sh - source it: runs whole programs under the C library's allocator and with cellmalloc preloaded, and compares.
#
#   same NAME PROGRAMS COMMAND [SHORT]   passes when both runs print the same and end with the same status, and a third one shows
#                                        that each of PROGRAMS (separated by spaces; the first must be installed) ran on cellmalloc.
#                                        SHORT is what the third runs when COMMAND takes long or minds open descriptors.
#   server_same NAME PROGRAM FUNCTION    FUNCTION LIBRARY starts, loads and stops a server with LIBRARY preloaded (empty: none)
#   long NAME                            true in `make test-long`, else the check is skipped
#
# Which allocator a process used is told by the dynamic linker itself (LD_DEBUG=bindings): a program that is linked statically, is
# setuid or loads a library with RTLD_DEEPBIND would give equal output without ever calling cellmalloc.
source "$SRC/scripts/tests/tap.sh"

input=$SRC/allocator/tests/programs/input
work=$TAP_TMP/work
export LC_ALL=C TZ=UTC HOME=$work PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH:$work     # no version manager's shims
mkdir -m 755 "$work"
cp "$OUT/libcellmalloc.so" "$work"      # where any user may read it
cellmalloc=$work/libcellmalloc.so
chmod 755 "$TAP_TMP"
cp -r "$input/." "$work"
cd "$work" || exit 1

# Runs in which processes were traced: a directory that any user may write to.
fresh_trace() {
    trace=$TAP_TMP/trace
    rm -rf "$trace"
    mkdir -m 1777 "$trace"
}

traced() { # COMMAND: runs it, and leaves the linker's account in $trace
    fresh_trace
    LD_PRELOAD=$cellmalloc LD_DEBUG=bindings LD_DEBUG_OUTPUT=$trace/of timeout 300 bash -o pipefail -c "$1" >"$TAP_TMP/traced" 2>&1 </dev/null
}

# Prints what is wrong with the traced run: nothing when each program called cellmalloc and none the C library's allocator.
unloaded() { # PROGRAM...
    local name of elsewhere
    for name; do
        of=$(grep -lF -e "binding file ${name##*/} [0] to" -e "/${name##*/} [0] to" "$trace"/* 2>/dev/null)
        if [ -z "$of" ]; then
            echo "$name left no trace: not run, static, or setuid"
        elif ! grep -qF " to $cellmalloc [0]: normal symbol \`malloc'" $of; then
            echo "$name did not have malloc from $cellmalloc"
        fi
    done
    elsewhere=$(grep -hE " to [^ ]*/libc\.so[^ ]* \[0\]: normal symbol \`(malloc|calloc|realloc|free|memalign|posix_memalign|aligned_alloc)'" \
        "$trace"/* 2>/dev/null | sed 's/^[^b]*//' | sort -u | head -3)
    [ -z "$elsewhere" ] || echo "past cellmalloc: $elsewhere"
}

installed() { # NAME PROGRAM: or the check is skipped
    type -P "$2" >/dev/null && return        # not a function of that name
    skip "$1" "$2 is not installed"
    return 1
}

long() {
    [ -n "${HEAPLAY_LONG:-}" ] && return
    skip "$1" "takes long: in make test-long"
    return 1
}

verdict() { # NAME WANTED GOT WRONG
    [ "$2" = "$3" ] && [[ $2 == ?*status\ 0 ]] && [ -z "$4" ]
    tap_say $? "$1"
    [ "$2" = "$3" ] || tap_note "$(diff <(echo "$2") <(echo "$3") | head -20 | cut -c 1-300)"
    [[ $2 == ?*status\ 0 ]] || tap_note "it prints nothing, or fails, without cellmalloc too: $(tail -n 5 <<<"$2" | cut -c 1-300)"
    [ -z "$4" ] || tap_note "$4"
}

same() {
    local wanted got
    installed "$1" "${2%% *}" || return
    wanted=$(timeout 300 bash -o pipefail -c "$3" 2>&1 </dev/null; echo "status $?")
    got=$(timeout 300 bash -o pipefail -c "export LD_PRELOAD=$cellmalloc; $3" 2>&1 </dev/null; echo "status $?")
    traced "${4:-$3}"
    verdict "$1" "$wanted" "$got" "$(unloaded $2)"
}

server_same() {
    local wanted got
    installed "$1" "$2" || return
    wanted=$("$3" "" 2>&1 </dev/null)
    got=$("$3" "$cellmalloc" 2>&1 </dev/null)
    fresh_trace
    (export TRACED="LD_DEBUG=bindings LD_DEBUG_OUTPUT=$trace/of"; "$3" "$cellmalloc") >"$TAP_TMP/traced" 2>&1 </dev/null
    verdict "$1" "$wanted" "$got" "$(unloaded "$2")"
}

# with LIBRARY: the words before a command that preload LIBRARY into it alone, and trace it when server_same does.
with() { echo env ${1:+LD_PRELOAD="$1" ${TRACED:-}}; }
