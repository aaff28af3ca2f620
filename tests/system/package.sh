#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What the package for each Debian is, before any service is started: built as it should be, with
# nothing to say for those who read packages by machine, and complete. Prints TAP.

# shellcheck source=tests/system/host.sh
. "$(dirname "$0")/host.sh"
needs mmdebstrap

# renumbered RELEASE: TAP of a guest as the next lines of this test.
renumbered() {
    awk -v first="$checks" -v release="$1" '
        /^(not )?ok / { sub(/[0-9]+/, ++first); sub(/ - /, " - Debian " release ": ") }
        !/^1\.\./'
}

# in_guest RELEASE KIND SCRIPT
in_guest() {
    local line
    root_for "$2-$1"
    while IFS= read -r line; do
        echo "$line"
        case $line in
        "ok "*) checks=$((checks + 1)) ;;
        "not ok "*) checks=$((checks + 1)) failures=$((failures + 1)) ;;
        esac
    done < <("$system_tests/in-root.sh" "$root" "$share" bash "/mnt/guest/$3" 2>&1 </dev/null |
        renumbered "$1")
}

for release in 12 13; do
    package_for "$release"
    rm -rf "$scratch/share"
    share_with_guest "$package"/*
    in_guest "$release" build package-read.sh
    in_guest "$release" system package-installed.sh
done
finish
