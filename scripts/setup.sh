#!/bin/bash
# setup.sh GROUP... - name the packages that the groups of scripts/packages.txt miss, and install them (Debian, Ubuntu).
#
# NO_INSTALL=1 only names them and exits 2, and so does a system without apt-get. Nothing missing: says nothing, does
# nothing, exits 0. HEAPLAY_PACKAGES names another table and HEAPLAY_OS_RELEASE another os-release (both for tests).
set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
table=${HEAPLAY_PACKAGES:-$here/packages.txt}
os_release=${HEAPLAY_OS_RELEASE:-/etc/os-release}

fail() { echo "setup: $*" >&2; exit 2; }

[ $# -gt 0 ] || fail "no group given; groups: $(awk '!/^#/ && NF {print $1}' "$table" | sort -u | tr '\n' ' ')"
for group in "$@"; do
    grep -q "^$group[[:space:]]" "$table" || fail "unknown group '$group' (see $table)"
done

# needs COLUMN: the needs of the wanted groups in that column of the table, each once.
needs() {
    awk -v column="$1" -v groups=" ${*:2} " \
        '!/^#/ && NF && index(groups, " " $1 " ") && $column != "-" && !seen[$column]++ {print $column}' "$table"
}

# name_only COLUMN CHECK INSTALL: for systems on which nothing is installed by this script.
name_only() {
    local missing=() name
    while read -r name; do
        $2 "$name" >/dev/null 2>&1 || missing+=("$name")
    done < <(needs "$1" "${@:4}" | tr ',' '\n' | sort -u)
    [ ${#missing[@]} -eq 0 ] && exit 0
    echo "setup: missing packages: ${missing[*]}" >&2
    fail "install them with: $3 ${missing[*]}"
}

system=unknown
if [ -r "$os_release" ]; then
    system=$(. "$os_release"; echo " ${ID:-} ${ID_LIKE:-} ")
fi
case $system in
*" debian "* | *" ubuntu "*) ;;
*" fedora "* | *" rhel "*) name_only 3 "rpm -q" "sudo dnf install" "$@" ;;
*" alpine "*) name_only 4 "apk info -e" "sudo apk add" "$@" ;;
*" arch "*) name_only 5 "pacman -Q" "sudo pacman -S --needed" "$@" ;;
*)
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
        fail "this system's package manager is not known; Debian calls the packages: $(needs 2 "$@" | tr '\n' ' ')"
    ;;
esac

mapfile -t wanted < <(needs 2 "$@")
mapfile -t names < <(printf '%s\n' "${wanted[@]#\?}" | tr '|' '\n')
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${names[@]}" 2>/dev/null | sed -n 's/^installed //p')

# any_installed NEED: one of its alternatives is there.
any_installed() {
    local name
    for name in ${1//|/ }; do
        grep -qxF -- "$name" <<<"$installed" && return 0
    done
    return 1
}

missing=()
for need in "${wanted[@]}"; do
    any_installed "${need#\?}" || missing+=("$need")
done
[ ${#missing[@]} -eq 0 ] && exit 0

# Of alternatives, the first one that the package lists know; nothing when they know none.
candidate() {
    local name
    for name in ${1//|/ }; do
        grep -q '^ *Candidate: [^(]' <<<"$(apt-cache policy "$name" 2>/dev/null)" && { echo "$name"; return; }
    done
}

if [ -n "${NO_INSTALL:-}" ]; then
    plain=()
    for need in "${missing[@]}"; do
        name=$(candidate "${need#\?}")
        plain+=("${name:-${need#\?}}")
    done
    echo "setup: missing packages: ${plain[*]}" >&2
    # What is optional does not stop the job; it only leaves a row out.
    [[ " ${missing[*]}" == *" "[!?]* ]] || exit 0
    fail "install them with: sudo apt-get install ${plain[*]}   (or run again without NO_INSTALL)"
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
        fail "missing packages: ${missing[*]#\?}; neither root nor sudo: ask for: apt-get install ${missing[*]#\?}"
    as_root=(sudo)
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -o DPkg::Lock::Timeout=120 "$@"; }

echo "setup: missing packages: ${missing[*]#\?}" >&2
echo "setup: apt-get update" >&2
apt update >&2 || echo "setup: apt-get update failed; going on with the package lists that are there" >&2
install=()
for need in "${missing[@]}"; do
    name=$(candidate "${need#\?}")
    if [ -n "$name" ]; then
        install+=("$name")
    elif [ "${need#\?}" != "$need" ]; then
        echo "setup: this system has no ${need#\?}; its rows will be absent" >&2
    else
        fail "no package source offers ${need//|/ or }; look into /etc/apt/sources.list"
    fi
done
[ ${#install[@]} -eq 0 ] && exit 0

# Tests start servers of their own: a packaged service must not be started by its installation.
masked=()
if [ -d /run/systemd/system ]; then
    for service in redis-server memcached nginx postgresql mariadb; do
        [[ " ${install[*]}" == *" $service"* ]] && "${as_root[@]}" systemctl mask --runtime "$service.service" >/dev/null 2>&1 &&
            masked+=("$service.service")
    done
fi
echo "setup: apt-get install ${install[*]}" >&2
apt install -y --no-install-recommends "${install[@]}" >&2
status=$?
[ ${#masked[@]} -eq 0 ] || "${as_root[@]}" systemctl unmask --runtime "${masked[@]}" >/dev/null 2>&1
[ $status -eq 0 ] || fail "apt-get install ended with $status; see its lines above"
exit 0
