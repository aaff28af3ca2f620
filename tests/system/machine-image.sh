#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# machine-image.sh ROOT DIRECTORY: makes a directory for boot-machine.sh out of a root file system of
# Debian with a kernel: disk.img, vmlinuz and initrd.img. Changes ROOT.

set -euo pipefail

root=$1 directory=$2

echo dotproxy-test >"$root/etc/hostname"
printf '%s\n' '127.0.0.1 localhost dotproxy-test' '::1 localhost' >"$root/etc/hosts"
: >"$root/etc/machine-id"
# Nothing that was denied is to be missing from the log.
echo 'kernel.printk_ratelimit = 0' >"$root/etc/sysctl.d/dotproxy-test.conf"
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '%s\n' '[Journal]' 'RateLimitIntervalSec=0' 'Storage=volatile' \
    >"$root/etc/systemd/journald.conf.d/dotproxy-test.conf"
# What begins by itself and has nothing to do with the test only takes time.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer getty@tty1.service serial-getty@ttyS0.service \
    systemd-timesyncd.service unbound.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
cat >"$root/etc/systemd/system/dotproxy-test.service" <<'END'
[Unit]
Description=The command that boot-machine.sh hands in
After=multi-user.target
ConditionPathExists=/dev/vdb
SuccessAction=poweroff
FailureAction=poweroff

[Service]
Type=exec
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
Environment=DEBIAN_FRONTEND=noninteractive
ExecStartPre=mount -t tmpfs -o mode=755 tmpfs /mnt
ExecStartPre=tar -x -f /dev/vdb -C /mnt
ExecStartPre=stty -F /dev/ttyS1 raw
ExecStart=bash /mnt/command
StandardOutput=file:/dev/ttyS1
StandardError=inherit
ExecStopPost=sh -c 'echo "$${EXIT_STATUS:-1}" >/dev/ttyS2'
TimeoutStartSec=infinity
END
ln -s ../dotproxy-test.service "$root/etc/systemd/system/multi-user.target.wants/"

mkdir "$directory"
cp "$root"/boot/vmlinuz-* "$directory/vmlinuz"
cp "$root"/boot/initrd.img-* "$directory/initrd.img"
mke2fs -q -t ext4 -d "$root" "$directory/disk.img" 2G
