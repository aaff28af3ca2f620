#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Whoever builds the package, wherever and whenever, has the same octets: it is built once more,
# under circumstances that are as different as can be (guest/rebuild.sh), by ./build.sh deb instead
# of dpkg-buildpackage, and from a tarball that was made from the tarball.

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

needs dpkg-deb ip mmdebstrap unshare
package_for 12
root_for build-12
share_with_guest "$package"/dotproxy_*.{dsc,orig.tar.gz,debian.tar.xz} \
    "$system_tests/../../build.sh"
mkdir -m 777 "$share/again"
check "./build.sh deb builds it once more" \
    "$system_tests/in-root.sh" "$root" "$share" bash /mnt/guest/rebuild.sh
for file in "$package"/*.{deb,dsc,debian.tar.xz,orig.tar.gz}; do
    check "$(basename "$file") is the same" same "$(basename "$file")"
done
finish
