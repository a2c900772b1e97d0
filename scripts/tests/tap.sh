# tap.sh - source it in a shell test: each check prints one TAP line, tap_end prints the plan.
#
#   ok NAME COMMAND...        passes when the command does      not_ok NAME COMMAND...   passes when it fails
#   is NAME GOT WANTED        equal strings                     like NAME GOT REGEX      extended regular expression
#   exits NAME CODE COMMAND...  with this exit status           skip NAME REASON
#   tap_end                   at the end: prints 1..N, exits 1 when a check failed
# The command's output is shown only when its check fails. $TAP_TMP is a directory that is removed at the end.
tap_count=0
tap_failed=0
TAP_TMP=$(mktemp -d)
trap 'rm -rf "$TAP_TMP"' EXIT

tap_say() { # STATUS NAME: one result line
    tap_count=$((tap_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $2"
    fi
}

tap_note() { sed 's/^/# /' <<<"$1"; }

ok() {
    local name=$1 said status
    shift
    said=$("$@" 2>&1 </dev/null); status=$?
    tap_say $status "$name"
    [ $status -eq 0 ] || { tap_note "exit $status of: $*"; tap_note "$said"; }
}

exits() {
    local name=$1 wanted=$2 said status
    shift 2
    said=$("$@" 2>&1 </dev/null); status=$?
    [ $status -eq "$wanted" ]; tap_say $? "$name"
    [ $status -eq "$wanted" ] || { tap_note "exit $status, wanted $wanted, of: $*"; tap_note "$said"; }
}

not_ok() {
    local name=$1 said status
    shift
    said=$("$@" 2>&1 </dev/null); status=$?
    [ $status -ne 0 ]; tap_say $? "$name"
    [ $status -ne 0 ] || { tap_note "exit 0 of: $*"; tap_note "$said"; }
}

is() {
    [ "$2" = "$3" ]; local status=$?
    tap_say $status "$1"
    [ $status -eq 0 ] || { tap_note "got:    $2"; tap_note "wanted: $3"; }
}

like() {
    grep -qE -- "$3" <<<"$2"; local status=$?
    tap_say $status "$1"
    [ $status -eq 0 ] || { tap_note "no match of: $3"; tap_note "in: $2"; }
}

skip() {
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

tap_end() {
    echo "1..$tap_count"
    [ $tap_failed -eq 0 ] || exit 1
    exit 0
}
