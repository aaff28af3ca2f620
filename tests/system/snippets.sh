#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# README.Debian, followed to the letter on Debian 12 and 13: what it says makes a machine use
# dotproxy does, and can be undone. What is checked is in guest/snippets.sh.

# shellcheck source=tests/system/host.sh
. "$(dirname "$0")/host.sh"

needs ip mmdebstrap systemd-nspawn unshare
for release in 12 13; do
    package_for $release
    root_for system-$release
    share_with_guest "$package"/dotproxy_*.deb
    /usr/bin/python3 -B "$system_tests/signed_zone.py" "$share"
    relay "Debian $release" "$system_tests/boot-systemd.sh" "$root" "$share" \
        bash /mnt/guest/snippets.sh
done
finish
