#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# boot-sysvinit.sh ROOT SHARE COMMAND...: boots a root file system with sysvinit as PID 1, runs a
# command in runlevel 2, which sees SHARE as /mnt, and ends. The machine has loopback and no other
# network; what it writes is kept in memory.

set -euo pipefail

limit=600 # seconds

if [ "${1:-}" != --inside ]; then
    root=$(readlink -f "$1") share=$(readlink -f "$2")
    shift 2
    self=$(readlink -f "$0")
    rm -f "$share/status" "$share/output"
    printf '%q ' "$@" >"$share/command"
    cd /
    # Ends at nothing less than SIGKILL, and takes the whole machine with it.
    unshare --mount --propagation private --pid --fork --kill-child --ipc --uts --net \
        "$self" --inside "$root" "$share" >"$share/console" 2>&1 </dev/null &
    machine=$!
    trap 'kill -KILL $machine 2>/dev/null || true' EXIT
    for ((i = 0; i < limit * 10; i++)); do
        if [ -s "$share/status" ] || ! kill -0 $machine 2>/dev/null; then
            break
        fi
        sleep 0.1
    done
    cat "$share/output" 2>/dev/null || true
    if [ ! -s "$share/status" ]; then
        sed 's/^/# /' "$share/console"
        echo "Bail out! sysvinit did not run the test to its end"
        exit 1
    fi
    exit "$(cat "$share/status")"
fi
root=$2 share=$3

# shellcheck source=tests/system/mounts.sh
. "$(dirname "$0")/mounts.sh"
mount_root "$root" "$share" # sets $guest
mount_kernel "$guest"
mount -t tmpfs -o mode=755 tmpfs "$guest/run"
cat >"$guest/etc/inittab" <<'END'
id:2:initdefault:
si::sysinit:/bin/sh -c 'ip link set lo up; hostname sysv'
l2:2:wait:/etc/init.d/rc 2
t1:2:once:/bin/sh -c 'bash /mnt/command >/mnt/output 2>&1 </dev/null; echo $? >/mnt/status'
END
cd "$guest"
mkdir .old
pivot_root . .old
umount -l /.old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    container=unshare chroot / /sbin/init
