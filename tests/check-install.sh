#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# `make install` as who builds it calls it: the units run what was installed, this machine's systemd
# understands them, what is left to do is said, and `make uninstall` leaves nothing. Prints TAP.

set -uo pipefail

top=${srcdir:-$(dirname "$0")/..}
# shellcheck source=tests/system/tap.sh
. "$top/tests/system/tap.sh"

unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR # of the make that runs this
scratch=$(mktemp -d)
trap 'rm -rf "$scratch" systemd/dotproxy.service' EXIT
rm -f systemd/dotproxy.service # names the prefix that it was made for
root=$scratch/root
units=$root/units

in_root() { make "$@" prefix="$root" sysconfdir="$root/etc" systemdsystemunitdir="$units"; }
has_units() { grep -q '^systemdsystemunit_DATA =' Makefile; }

runs_what_is_installed() {
    local program
    while read -r program; do
        [[ $program = $root/* && -x $program ]] || { echo "$program" && return 1; }
    done < <(sed -nE 's/^Exec[A-Za-z]+=([^ ]+).*/\1/p' "$units/dotproxy.service" | grep dotproxy)
    grep -q "^ExecStart=$root/sbin/dotproxy " "$units/dotproxy.service"
}

systemd_understands() {
    local said
    said=$(systemd-analyze verify --man=no "$units/dotproxy.service" "$units/dotproxy.socket" 2>&1 |
        grep -e dotproxy -e Unknown)
    [ -z "$said" ] || { echo "$said" && return 1; }
}

nothing_is_left() {
    local left
    left=$(find "$root" ! -type d)
    [ -z "$left" ] || { echo "$left" && return 1; }
}

check "it is installed" in_root install
check "with the configuration" cmp "$root/etc/dotproxy.conf" "$top/etc/dotproxy.conf"
echo "# changed" >>"$root/etc/dotproxy.conf"
in_root install >"$scratch/said" 2>&1
check "what was changed in the configuration stays" grep -qx '# changed' "$root/etc/dotproxy.conf"
check "what is left to do is said" grep 'at every boot' "$scratch/said"
check "but not of another machine's files" \
    fails grep 'at every boot' <(in_root install DESTDIR="$scratch/other" 2>&1)
if ! has_units; then
    check "this is built without units: there is none" fails ls "$units"
else
    check "the units run what was installed" runs_what_is_installed
    check "there is the one for port 53" cmp "$units/dotproxy.socket" "$top/systemd/dotproxy.socket"
    check "how to enable them is said" grep 'systemctl enable --now dotproxy' "$scratch/said"
    if command -v systemd-analyze >/dev/null; then
        check "systemd has nothing against them" systemd_understands
    else
        skip_check "systemd has nothing against them" "there is no systemd-analyze"
    fi
fi
cp "$top/etc/dotproxy.conf" "$root/etc/"
check "it is uninstalled" in_root uninstall
check "and leaves nothing" nothing_is_left
finish
