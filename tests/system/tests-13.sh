#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# All tests with the compiler and the libraries of Debian 13. Not as the package is built, which
# would take five times as long: headers are precompiled, and nothing is optimized.

# shellcheck source=tests/system/host.sh
. "$(dirname "$0")/host.sh"

all_tests() {
    "$system_tests/in-root.sh" "$root" "$share" bash /mnt/guest/all-tests.sh >"$scratch/log" 2>&1 ||
        { cat "$scratch/log" && return 1; }
}

needs ip mmdebstrap unshare
package_for 13
root_for build-13
share_with_guest "$package"/dotproxy_*.orig.tar.gz
check "Debian 13: all tests pass" all_tests
finish
