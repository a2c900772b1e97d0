#!/bin/bash
# python.sh [MODULE...] - print the first Python that can import what the scripts need (or the modules given).
#
# Order: $PYTHON, python3 on the PATH, /usr/bin/python3, /usr/local/bin/python3, python3.N on the PATH. When it is not
# the first one, stderr says which one it is and why; none: exit 2.
set -u
modules=${*:-numpy scipy matplotlib jinja2 jsonschema rich}
test_line="import sys; sys.version_info >= (3, 9) or sys.exit('is older than Python 3.9')"
for module in $modules; do
    test_line+="; import $module"
done

# The reasons, with semicolons between them.
listed() {
    printf '%s' "${reasons[0]}"
    [ ${#reasons[@]} -eq 1 ] || printf '; %s' "${reasons[@]:1}"
}

tried=()
reasons=()
for name in ${PYTHON:-} python3 /usr/bin/python3 /usr/local/bin/python3 python3.{14,13,12,11,10,9}; do
    path=$(command -v "$name") || continue
    [[ " ${tried[*]-} " == *" $path "* ]] && continue
    tried+=("$path")
    if said=$("$path" -c "$test_line" 2>&1); then
        [ ${#reasons[@]} -eq 0 ] || echo "python: using $path, because $(listed)" >&2
        echo "$path"
        exit 0
    fi
    reasons+=("$path: $(tail -n 1 <<<"$said")")
done
[ ${#reasons[@]} -eq 0 ] && reasons=("no python3 was found")
echo "python: none can import $modules: $(listed); run scripts/setup.sh scripts, or set PYTHON" >&2
exit 2
