#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# roots.sh KIND: prints the directory of a root file system of Debian, and makes it first where
# there is none. They are kept from run to run, below $DOTPROXY_TEST_ROOTS or
# /var/cache/dotproxy-tests, and made anew when their description here, or what the package needs to
# be built, changes. Nobody writes into them.
#
#   build-12, build-13      what it takes to build the package and to check it
#   system-12, system-13    a machine with systemd, with clients and resolvers to test with
#   sysv-12                 the same with sysvinit
#   minimal-12              nothing but apt, as minimal-12/root.tar.gz
#   machine-12              a disk with systemd and Debian's kernel, for boot-machine.sh
#
# The mirror is the one that this machine's own apt uses.

set -euo pipefail

kind=$1
here=$(cd "$(dirname "$0")" && pwd)
export control
control=$(cd "$here/../.." && pwd)/debian/control
store=${DOTPROXY_TEST_ROOTS:-/var/cache/dotproxy-tests}

case $kind in
*-12) suite=bookworm libraries=libconfig9,libgnutls30,libnghttp2-14,libseccomp2 ;;
*-13) suite=trixie libraries=libconfig11,libgnutls30t64,libnghttp2-14,libseccomp2 ;;
*) echo "roots.sh: there is no kind \"$kind\"" >&2 && exit 2 ;;
esac

in_guests=$libraries,bind9-dnsutils,ca-certificates,dnsperf,iproute2,openssl,procps,unbound
first=() # of the hooks: before anything but the essential is there
hooks=()
variant=apt
case $kind in
build-*)
    include=build-essential,blhc,devscripts,fakeroot,faketime,lintian
    # shellcheck disable=SC2016 # $1 is mmdebstrap's, which hands $control on
    hooks+=('mkdir -p "$1/tmp/source/debian"'
        'cp "$control" "$1/tmp/source/debian/control"'
        'chroot "$1" apt-get -q -y --no-install-recommends build-dep /tmp/source'
        'rm -r "$1/tmp/source"')
    ;;
system-*)
    include=systemd-sysv,dbus,apparmor,autopkgtest,bash-completion,dhcpcd-base,dnsmasq,dpkg-dev
    include+=,dpkg-repack,file,isc-dhcp-client,knot-dnsutils,libcap2-bin,network-manager,strace
    include+=,systemd-resolved,ufw,util-linux-extra,$in_guests
    # They come with a service each that wants port 53, the machine's resolv.conf, or its firewall.
    # shellcheck disable=SC2016
    hooks+=('for unit in dnsmasq NetworkManager NetworkManager-wait-online systemd-resolved ufw \
            unbound; do
        ln -sf /dev/null "$1/etc/systemd/system/$unit.service"; done'
        'rm -f "$1/etc/resolv.conf"; echo "nameserver 127.0.0.1" >"$1/etc/resolv.conf"'
        'ln -sf /dev/null "$1/etc/systemd/system/systemd-networkd-wait-online.service"')
    ;;
sysv-*)
    include=sysvinit-core,sysv-rc,orphan-sysvinit-scripts,systemd-standalone-sysusers
    include+=,inetutils-syslogd,$in_guests
    # shellcheck disable=SC2016
    hooks+=('for link in "$1"/etc/rc?.d/*unbound; do rm -f "$link"; done')
    ;;
machine-*)
    include=systemd-sysv,apparmor,dbus,initramfs-tools,kmod,libcmocka0,libnss-systemd
    include+=,linux-image-cloud-amd64,lz4,strace,udev,$in_guests
    # One kind of disk is all that is needed to begin with.
    # shellcheck disable=SC2016
    first+=('mkdir -p "$1/etc/initramfs-tools/conf.d"
        printf "%s\n" MODULES=list COMPRESS=lz4 >"$1/etc/initramfs-tools/conf.d/small"
        printf "%s\n" virtio_pci virtio_blk ext4 >"$1/etc/initramfs-tools/modules"')
    ;;
minimal-*)
    include=
    variant=minbase
    ;;
esac

description=("$suite" "$include" "${first[@]}" "${hooks[@]}")
[[ $kind != machine-* ]] || description+=("$(cat "$here/machine-image.sh")")
[[ $kind != build-* ]] || description+=("$(sed -n '/^Build-Depends/,/^[^ ]/p' "$control")")
key=$(printf '%s\n' "${description[@]}" | sha256sum | cut -c 1-12)
root=$store/$kind-$key
mkdir -p "$store"
exec 9>"$store/$kind.lock"
flock 9
if [ -d "$root" ]; then
    touch "$root"
else
    # Another tree's, perhaps, and in use. Nobody comes back to one after a week.
    find "$store" -maxdepth 1 -name "$kind-*" -mtime +7 -exec rm -rf {} +
    # Nor to what was being made when it was killed; nobody else makes this kind now.
    for stale in "$store/new-$kind".*; do
        [ -e "$stale" ] || continue
        awk -v begin="$stale/" 'index($2, begin) == 1 { print $2 }' /proc/self/mounts | sort -r |
            xargs -r umount
        rm -rf --one-file-system "$stale"
    done
    mirror=$("$here/mirror.sh")
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    sources=()
    for part in "$suite" "$suite-updates"; do
        sources+=("deb [signed-by=$keyring] $mirror $part main")
    done
    new=$(mktemp -d "$store/new-$kind.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    target=$new/root
    [ $variant != minbase ] || target=$new/root.tar.gz
    mmdebstrap --quiet --mode=root --variant=$variant --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/locale/*' ${include:+--include="$include"} \
        "${first[@]/#/--essential-hook=}" "${hooks[@]/#/--customize-hook=}" \
        "$suite" "$target" "${sources[@]}" >&2
    if [ $variant = minbase ]; then
        mkdir "$new/root"
        mv "$target" "$new/root/"
    fi
    if [[ $kind = machine-* ]]; then
        mv "$target" "$new/files"
        "$here/machine-image.sh" "$new/files" "$target" >&2
    fi
    mv "$new/root" "$root"
fi
echo "$root"
