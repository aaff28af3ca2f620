#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What the package for each Debian is, before any service is started: built as it should be, with
# nothing to say for those who read packages by machine, and complete. What is checked is in
# guest/package-read.sh and guest/package-installed.sh.

# shellcheck source=tests/system/host.sh
. "$(dirname "$0")/host.sh"

needs ip mmdebstrap unshare

for release in 12 13; do
    package_for $release
    share_with_guest "$package"/*
    root_for build-$release
    relay "Debian $release" "$system_tests/in-root.sh" "$root" "$share" \
        bash /mnt/guest/package-read.sh
    root_for system-$release
    relay "Debian $release" "$system_tests/in-root.sh" "$root" "$share" \
        bash /mnt/guest/package-installed.sh
done
finish
