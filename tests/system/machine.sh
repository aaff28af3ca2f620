#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The package in a virtual machine with Debian's kernel: under AppArmor, over reboots, before there
# is a network, without IPv6. What is checked is in guest/machine.sh.

# shellcheck source=tests/system/host.sh
. "$(dirname "$0")/host.sh"

needs mmdebstrap mke2fs qemu-img qemu-system-x86_64 unshare

# boot STAGE LABEL [KERNEL-ARGUMENTS]: with the disk that the boot before has left.
boot() {
    relay "$2" "$system_tests/boot-machine.sh" -d "$scratch/disk" -k "${3:-}" "$root" "$share" \
        bash /mnt/guest/machine.sh "$1"
}

package_for 12
root_for machine-12
# Those that test the sandbox, which this kernel may see through otherwise than the machine's.
programs=(tests/sandbox/test_{filter,landlock,sandbox})
make "${programs[@]}" >"$scratch/make.log" 2>&1 || sed 's/^/# /' "$scratch/make.log"
share_with_guest "$package"/dotproxy_*.deb "${programs[@]}"
boot install "installed"
boot late "late network"
boot without_ipv6 "without IPv6" ipv6.disable=1
finish
