# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by the tests of this directory, which run on the host: what they need, where the package
# lies, and the directory that a guest sees as /mnt.
# shellcheck shell=bash

set -euo pipefail

system_tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/system/tap.sh
. "$system_tests/tap.sh"

umask 022 # guests have other accounts, which read what is made here
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# needs COMMAND...: ends the test with the reason when one of them, or root, is missing, or this machine
# lets not even root make what guests live in.
needs() {
    local command
    [ "$(id -u)" -eq 0 ] || skip_all "this needs root"
    for command; do
        command -v "$command" >/dev/null || skip_all "$command is not installed"
        case $command in
        unshare)
            unshare --mount --propagation private --pid --fork --ipc --uts --net \
                mount -t tmpfs tmpfs /mnt 2>/dev/null ||
                skip_all "this machine does not let root make namespaces and mounts"
            ;;
        systemd-nspawn)
            # shellcheck disable=SC2016 # the inner shell's
            unshare --mount --propagation private \
                sh -c 'mount -t cgroup2 cgroup2 /mnt && d=/mnt/dotproxy-test-$$ && mkdir $d &&
                    rmdir $d' 2>/dev/null || skip_all "this machine does not let root make cgroups"
            ;;
        esac
    done
}

mirror_answers() {
    local mirror
    mirror=$("$system_tests/mirror.sh") &&
        /usr/lib/apt/apt-helper download-file "$mirror/dists/bookworm/Release" "$scratch/Release" \
            >/dev/null 2>&1
}

# without WHAT LOG: ends the test, for which something could not be made.
without() {
    if [ $checks -eq 0 ] && ! mirror_answers; then
        skip_all "there is no $1, and the mirror of this machine's apt cannot be reached"
    fi
    tail -n 100 "$2" | sed 's/^/# /'
    echo "Bail out! there is no $1"
    exit 1
}

# root_for KIND: sets $root to the root file system of a kind (roots.sh), or ends the test.
root_for() {
    # shellcheck disable=SC2034 # for who sources this
    root=$("$system_tests/roots.sh" "$1" 2>"$scratch/roots.log") ||
        without "root file system $1" "$scratch/roots.log"
}

# package_for RELEASE: sets $package to the directory of what was built for that Debian
# (build-package.sh), or ends the test.
package_for() {
    # shellcheck disable=SC2034
    package=$("$system_tests/build-package.sh" "$1" 2>"$scratch/package.log") ||
        without "package for Debian $1" "$scratch/package.log"
}

# share_with_guest FILE...: sets $share to a directory with those files and all that runs in guests.
share_with_guest() {
    share=$scratch/share
    rm -rf "$share"
    mkdir "$share"
    cp -R "$system_tests/tap.sh" "$system_tests/guest" "$share/"
    [ $# -eq 0 ] || cp "$@" "$share/"
    chmod -R a+rX "$share" # whatever the clone has
}

# relay LABEL COMMAND...: makes the checks of a command that speaks TAP, a guest's, part of this
# test, one by one as they come. One that does not come to its end fails; one that bails out ends
# the test, when it has ended itself.
relay() {
    local label=$1 line verdict planned=none made=0 reason=
    shift
    while IFS= read -r line; do
        case $line in
        'ok '* | 'not ok '*)
            verdict=${line%%ok *}ok
            checks=$((checks + 1)) made=$((made + 1))
            [ "$verdict" = ok ] || failures=$((failures + 1))
            echo "$verdict $checks - $label: ${line#* - }"
            ;;
        1..*) planned=${line#1..} ;;
        'Bail out!'*) reason=${line#Bail out!} ;;
        *) echo "# ${line#\# }" ;;
        esac
    done < <("$@" 2>&1 </dev/null)
    [ -z "$reason" ] || { echo "Bail out! $label:$reason" && exit 1; }
    check "$label: the test came to its end" [ "$planned" = $made ]
}

# older_package DEB NEW: repacks a package as that of a version before it.
older_package() {
    local tree=$scratch/older
    rm -rf "$tree"
    dpkg-deb --raw-extract "$1" "$tree" &&
        sed -i 's/^Version: .*/Version: 0.0.1-1/' "$tree/DEBIAN/control" &&
        dpkg-deb --root-owner-group -Znone --build "$tree" "$2" >/dev/null
}
