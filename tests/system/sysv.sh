#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The package where there is no systemd: under a real sysvinit as PID 1, and in a root that has no
# init at all.

# shellcheck source=tests/system/host.sh
. "$(dirname "$0")/host.sh"

needs dpkg-deb ip mmdebstrap unshare
package_for 12
root_for sysv-12
older_package "$package"/dotproxy_*.deb "$scratch/dotproxy-older.deb"
share_with_guest "$scratch/dotproxy-older.deb"
cp "$package"/dotproxy_*.deb "$share/dotproxy.deb"
relay "sysvinit" "$system_tests/boot-sysvinit.sh" "$root" "$share" bash /mnt/guest/sysv.sh
relay "no init" "$system_tests/in-root.sh" "$root" "$share" bash /mnt/guest/sysv.sh
finish
