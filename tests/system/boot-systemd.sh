#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# boot-systemd.sh ROOT SHARE COMMAND...: boots a root file system with its own systemd as PID 1,
# runs a command in it, which sees SHARE as /mnt, and powers it off. The machine has loopback and no
# other network; what it writes is kept in memory, and no process, mount or cgroup is left.

set -euo pipefail

limit=1200 # seconds

if [ "${1:-}" != --inside ]; then
    root=$(readlink -f "$1") share=$(readlink -f "$2")
    shift 2
    self=$(readlink -f "$0")
    cd /
    exec unshare --mount --propagation private "$self" --inside "$root" "$share" "$@"
fi
root=$2 share=$3
shift 3
here=$(dirname "$0")

# Not the host's: nspawn makes its cgroups below the one it is in, and systemd 256 and later want a
# tree that is version 2 throughout.
name=dotproxy-test-$$
groups=/sys/fs/cgroup
mount -t tmpfs tmpfs /media
mkdir /media/groups
mount -t cgroup2 cgroup2 /media/groups
mkdir "/media/groups/$name"
echo $$ >"/media/groups/$name/cgroup.procs"
umount -R $groups
mount --move /media/groups $groups
umount /media
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1

nspawn=
leader=
console=$(mktemp)
wait_for_end() {
    local i
    for ((i = 0; i < 300; i++)); do
        kill -0 "$nspawn" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}
# shellcheck disable=SC2317 # called by trap
clean_up() {
    set +e
    if [ -n "$nspawn" ] && kill -TERM "$nspawn" 2>/dev/null; then
        wait_for_end || kill -KILL "$nspawn"
    fi
    echo $$ >"$groups/cgroup.procs"
    find "$groups/$name" -depth -type d -exec rmdir {} + 2>/dev/null
    rm -f "$console"
}
trap clean_up EXIT

# shellcheck source=tests/system/mounts.sh
. "$here/mounts.sh"
mount_root "$root" "$share" # sets $guest
# What begins by itself at some hour would write files or hold locks in the middle of a test.
for timer in apt-daily apt-daily-upgrade dpkg-db-backup fstrim; do
    ln -sf /dev/null "$guest/etc/systemd/system/$timer.timer"
done
# nspawn has a namespace of its own for mounts and hides ours of /mnt. bpf is how systemd keeps a
# service to its addresses and devices.
systemd-nspawn --directory="$guest" --machine="$name" --boot --register=no --keep-unit \
    --private-network --link-journal=no --resolv-conf=off --timezone=off --console=pipe \
    --bind="$share:/mnt" --system-call-filter=bpf --kill-signal=SIGRTMIN+3 \
    >"$console" 2>&1 </dev/null &
nspawn=$!

in_guest() {
    nsenter -t "$leader" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive container=systemd-nspawn "$@"
}
state=
for ((i = 0; i < 600; i++)); do
    kill -0 "$nspawn" 2>/dev/null || break
    # By its name: nspawn has other children before that one, which do not stay.
    [ -n "$leader" ] || leader=$(pgrep -P "$nspawn" -x systemd || true)
    if [ -n "$leader" ]; then
        state=$(in_guest systemctl is-system-running 2>/dev/null || true)
        case $state in running | degraded) break ;; esac
    fi
    sleep 0.1
done
case $state in
running | degraded) ;;
*)
    sed 's/^/# /' "$console"
    echo "Bail out! systemd did not come up: ${state:-no state}"
    exit 1
    ;;
esac
status=0
in_guest timeout -k 10 $limit "$@" </dev/null || status=$?
in_guest systemctl --no-block poweroff 2>/dev/null || true
wait_for_end || true
exit $status
