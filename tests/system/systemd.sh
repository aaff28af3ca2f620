#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# systemd.sh RELEASE: the package on a Debian of that release, booted with its systemd. What is
# checked is in guest/systemd.sh.

# shellcheck source=tests/system/host.sh
. "$(dirname "$0")/host.sh"

needs mmdebstrap nsenter systemd-nspawn unshare
root_for "system-$1"
package_for "$1"
share_with_guest "$package"/dotproxy_*.deb
"$system_tests/boot-systemd.sh" "$root" "$share" bash /mnt/guest/systemd.sh
