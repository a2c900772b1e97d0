#!/usr/bin/env bash
# Each program of this directory ends as its first comment says: `always` and `at flush` by SIGABRT with exactly that line on
# stderr, `unmapped` by SIGSEGV, `not caught` with exit status 0 and silence, so that the table of README.md stays honest.
source "$SRC/scripts/tests/tap.sh"
ulimit -c 0

expectation() { # SOURCE: "STATUS: WHAT IS ON STDERR"
    local first=$(head -1 "$1")
    case $first in
        "/* always: "*|"/* at flush: "*) sed -E 's|^/\* [a-z ]+: (.*) \*/$|134: cellmalloc: \1|' <<<"$first" ;;
        "/* unmapped: "*)                echo "139: " ;;
        "/* not caught */")              echo "0: " ;;
        *)                               echo "a first line that says how it ends" ;;
    esac
}

for source in "$SRC"/allocator/tests/misuse/*.c; do
    name=$(basename "$source" .c)
    status=$({ "$OUT/allocator/tests/misuse/$name" 2>"$TAP_TMP/said" >/dev/null; echo $?; } 2>/dev/null)
    is "$name" "$status: $(cat "$TAP_TMP/said")" "$(expectation "$source")"
done

# The table of README.md says the same as the programs.
listed=$(sed -nE 's/^\| `([a-z_]+)` \| ([a-z ]+) \|.*/\1 \2/p' "$SRC/allocator/tests/misuse/README.md" | sort)
written=$(cd "$SRC/allocator/tests/misuse" && sed -nE '1s#^/\* (always|at flush|unmapped|not caught).*#\1#p' -s ./*.c |
          paste -d' ' <(ls ./*.c | sed 's|./||; s|\.c$||') - | sort)
is "README.md lists every program and how it ends" "$listed" "$written"
tap_end
