#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# boot-machine.sh [-d DISK] [-k ARGUMENTS] MACHINE SHARE COMMAND...: boots a machine of its own,
# with Debian's kernel, in QEMU, runs a command in it, which sees a copy of SHARE as /mnt, and
# switches it off. MACHINE is a directory of roots.sh, which nobody writes into. The machine has
# loopback and no other network.
#
#   -d DISK        keep there what the machine writes, and boot from there when it exists; without
#                  it everything is forgotten
#   -k ARGUMENTS   for the kernel, beside the usual ones
#
# It is emulated in software, 10 to 20 times slower than this machine, since a virtual machine in
# turn often cannot run another.

set -euo pipefail

limit=1800 # seconds
memory=1024 # MiB

disk=
arguments=
while getopts d:k: option; do
    case $option in
    d) disk=$OPTARG ;;
    k) arguments=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
machine=$(readlink -f "$1") share=$(readlink -f "$2")
shift 2

work=$(mktemp -d)
qemu=
# shellcheck disable=SC2317 # called by trap
clean_up() {
    if [ -n "$qemu" ] && kill "$qemu" 2>/dev/null; then
        wait "$qemu" || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

disk=${disk:-$work/disk}
[ -e "$disk" ] || qemu-img create -q -f qcow2 -b "$machine/disk.img" -F raw "$disk"
{
    printf 'cd /mnt\n'
    printf '%q ' "$@"
} >"$work/command"
# A disk is a whole number of sectors, which is what a tar archive is made of.
tar -cf "$work/share.tar" -C "$share" . -C "$work" command

# Serial lines: what the kernel and systemd say, what the command writes, and its status.
timeout -k 10 $limit qemu-system-x86_64 -accel tcg,thread=multi -cpu max -machine q35 \
    -smp 2 -m $memory -nic none -display none -monitor none -no-reboot \
    -kernel "$machine/vmlinuz" -initrd "$machine/initrd.img" \
    -append "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off $arguments" \
    -drive "file=$disk,format=qcow2,if=virtio,cache=unsafe" \
    -drive "file=$work/share.tar,format=raw,if=virtio,readonly=on" \
    -serial "file:$work/console" -serial stdio -serial "file:$work/status" </dev/null &
qemu=$!
wait $qemu || true
qemu=
status=$(tr -d '\r\n' <"$work/status" 2>/dev/null || true)
if [ -z "$status" ]; then
    tr -d '\r' <"$work/console" | tail -n 60 | sed 's/^/# /'
    echo "Bail out! the machine did not run the test to its end"
    exit 1
fi
exit "$status"
