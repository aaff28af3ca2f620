#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# in-root.sh ROOT SHARE COMMAND...: runs a command in a root file system without an init, which sees
# SHARE as /mnt. It has namespaces of its own for everything, a network that is nothing but
# loopback, and writes into memory: the root stays as it is, and all processes end with the command.

set -euo pipefail

if [ "${1:-}" != --inside ]; then
    root=$(readlink -f "$1") share=$(readlink -f "$2")
    shift 2
    self=$(readlink -f "$0")
    cd /
    exec unshare --mount --propagation private --pid --fork --kill-child --ipc --uts --net \
        "$self" --inside "$root" "$share" "$@"
fi
root=$2 share=$3
shift 3

# shellcheck source=tests/system/mounts.sh
. "$(dirname "$0")/mounts.sh"
mount_root "$root" "$share" # sets $guest
mount_kernel "$guest"
ip link set lo up
status=0
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    chroot "$guest" "$@" || status=$?
exit $status
