#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The tests that come with the package (debian/tests), run by autopkgtest as Debian would, on booted
# machines with systemd. Each of them is a check here; none may be skipped there.

# shellcheck source=tests/system/host.sh
. "$(dirname "$0")/host.sh"

# run_autopkgtest RELEASE
run_autopkgtest() {
    local release=$1 name verdict names
    package_for "$release"
    root_for "system-$release"
    share_with_guest "$package"/dotproxy_*.{deb,dsc,orig.tar.gz,debian.tar.xz}
    # The testbed is the machine itself. Newer versions do not believe that it is a container. It
    # has no network: what the tests depend on is there.
    "$system_tests/boot-systemd.sh" "$root" "$share" bash -c 'cd /tmp && autopkgtest \
        --no-built-binaries --ignore-restrictions=isolation-container \
        --summary-file=/mnt/summary --timeout-test=120 \
        /mnt/dotproxy_*.deb /mnt/dotproxy_*.dsc -- null' >"$scratch/log-$release" 2>&1 || true
    mapfile -t names < <(sed -n 's/^Tests: //p' "$system_tests/../../debian/tests/control" |
        tr -s ', ' '\n')
    for name in "${names[@]}"; do
        verdict=$(sed -n "s/^$name  *\([A-Z]*\).*/\1/p" "$share/summary" 2>/dev/null)
        check "Debian $release: $name" passes "${verdict:-no result}" "$release" "$name"
    done
}

# passes VERDICT RELEASE NAME: shows what the test wrote when it is another one.
passes() {
    [ "$1" = PASS ] && return
    echo "$1"
    grep "^$3 " "$share/summary" || cat "$scratch/log-$2"
    sed -n "/ test $3: \[/,/ test $3:  *- - /p" "$scratch/log-$2"
    return 1
}

needs dpkg-deb ip mmdebstrap nsenter systemd-nspawn unshare
run_autopkgtest 12
run_autopkgtest 13
finish
