#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Whoever builds the package, wherever and whenever, has the same octets: it is built once more, under
# circumstances that are as different as can be (guest/rebuild.sh). So is the tarball made once more.

# shellcheck source=tests/system/host.sh
. "$(dirname "$0")/host.sh"

# same FILE: the first and the second of that name. Shows where they differ.
same() {
    local first=$package/$1 second=$share/again/$1
    cmp "$first" "$second" && return
    if [[ $1 == *.deb && -e $second ]]; then
        dpkg-deb --raw-extract "$first" "$scratch/first"
        dpkg-deb --raw-extract "$second" "$scratch/second"
        diff -r --no-dereference "$scratch/first" "$scratch/second" | head -n 20
        diff <(dpkg-deb --contents "$first") <(dpkg-deb --contents "$second") | head -n 20
        rm -r "$scratch/first" "$scratch/second"
    else
        diff "$first" "$second" | head -n 20
    fi
    return 1
}

# make_tarball: as somebody else, elsewhere, would.
make_tarball() (
    exec 8>system/dist.lock
    flock 8
    umask 0027
    env -u SOURCE_DATE_EPOCH TZ=XYZ-05:45 LC_ALL=C LANG=C GZIP= make dist-gzip &&
        mv dotproxy-*.tar.gz "$share/again/$(basename "$package"/dotproxy_*.orig.tar.gz)"
)

needs dpkg-deb make mmdebstrap unshare
package_for 12
root_for build-12
share_with_guest "$package"/dotproxy_*.{dsc,orig.tar.gz,debian.tar.xz}
mkdir -m 777 "$share/again"
check "it is built once more" "$system_tests/in-root.sh" "$root" "$share" bash /mnt/guest/rebuild.sh
for file in "$package"/*.{deb,dsc,debian.tar.xz}; do
    check "$(basename "$file") is the same" same "$(basename "$file")"
done
check "the tarball is made once more" make_tarball
check "and is the same" same "$(basename "$package"/dotproxy_*.orig.tar.gz)"
finish
