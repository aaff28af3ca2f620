#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# build-package.sh RELEASE: builds the package in a clean root of that Debian (12, 13) and prints
# the directory in which .deb, .dsc, .changes and build.log lie, below system/ of the directory in
# which it is called. What was built is kept until a source file changes.

set -euo pipefail

release=$1
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
out=$PWD/system/package-$release
mkdir -p system
exec 9>"$PWD/system/package-$release.lock"
flock 9

is_current() {
    [ -e "$out/stamp" ] && [ -z "$(find "$top" \( -path "$top/build" -o -path "$top/.git" \
        -o -name autom4te.cache \) -prune -o -type f -newer "$out/stamp" -print -quit)" ]
}

if ! is_current; then
    rm -rf "$out"
    mkdir "$out"
    touch "$out/stamp.new"
    root=$("$here/roots.sh" "build-$release")
    version=$(sed -n 's/^AC_INIT(\[dotproxy\], \[\(.*\)\])$/\1/p' "$top/configure.ac")
    (
        exec 8>"$PWD/system/dist.lock"
        flock 8
        make dist-gzip >&2
        mv "dotproxy-$version.tar.gz" "$out/dotproxy_$version.orig.tar.gz"
    )
    tar -C "$out" -xf "$out/dotproxy_$version.orig.tar.gz"
    cp -R "$top/debian" "$out/dotproxy-$version/"
    # Its tests are run elsewhere: those of this machine's release with it, see also tests-13.sh.
    "$here/in-root.sh" "$root" "$out" bash -c "
        export DEB_BUILD_OPTIONS='parallel=$(nproc) nocheck'
        cp -R /mnt/dotproxy-$version /mnt/*.orig.tar.gz /tmp/ && cd /tmp/dotproxy-$version &&
        dpkg-buildpackage -us -uc && find .. -maxdepth 1 -type f -exec cp -t /mnt {} +" \
        >"$out/build.log" 2>&1 </dev/null || {
        cat "$out/build.log" >&2
        exit 1
    }
    rm -r "$out/dotproxy-$version"
    mv "$out/stamp.new" "$out/stamp"
fi
echo "$out"
