# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by what runs guests, in a mount namespace of its own, which takes everything with it that
# is mounted here.
# shellcheck shell=bash

# mount_root ROOT SHARE: sets $guest to a directory that looks like ROOT, with SHARE as its /mnt,
# and keeps in memory what is written there.
mount_root() {
    # Any directory that is there does: nobody outside this namespace sees the mount.
    local memory=/mnt
    mount -t tmpfs -o size=75%,mode=755 tmpfs $memory
    mkdir -m 755 $memory/upper $memory/work $memory/guest
    guest=$memory/guest
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$memory/upper,workdir=$memory/work" $guest
    mount --bind "$2" $guest/mnt
}

# mount_kernel GUEST: what the kernel shows and what every program expects of /dev.
mount_kernel() {
    local node
    mount -t proc proc "$1/proc"
    mount -t sysfs -o ro sysfs "$1/sys"
    mount -t tmpfs -o mode=755 tmpfs "$1/dev"
    for node in null zero full random urandom tty; do
        touch "$1/dev/$node"
        mount --bind /dev/$node "$1/dev/$node"
    done
    mkdir "$1/dev/shm" "$1/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
    ln -s pts/ptmx "$1/dev/ptmx"
    ln -s /proc/self/fd "$1/dev/fd"
}
