#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Builds the source package in /mnt by its ./build.sh deb, and puts what comes of it into
# /mnt/again. Everything is unlike what build-package.sh has: user, host name, directory, home,
# clock, time zone, language, mode of new files, number of jobs, and the order of files in
# directories.

set -euo pipefail

directory=/srv/quite/another/place
if [ "${1:-}" != --inside ]; then
    hostname elsewhere
    mkdir -p $directory
    chown 12345:12345 $directory
    exec setpriv --reuid=12345 --regid=12345 --clear-groups env HOME=/nonexistent USER=somebody \
        LOGNAME=somebody TZ=XYZ-05:45 LC_ALL=C LANGUAGE=fr \
        DEB_BUILD_OPTIONS='parallel=3 nocheck' bash "$0" --inside
fi
cd $directory
dpkg-source -x /mnt/*.dsc sorted
mkdir source
# What is extracted last is what a directory of the kind that this root is in shows first.
(cd sorted && find . -print0 | LC_ALL=C sort -z | tar -c --no-recursion --null -T -) |
    tar -C source -x
rm -r sorted
cd source
cp /mnt/build.sh . # which no tarball has
umask 0002 # of files that are made from here on; those of the source come in the source package
# Files keep their times, which the tarball has from one of them.
NO_FAKE_STAT=1 faketime -f +500d ./build.sh deb
cd build/deb
cp ./*.deb ./*.dsc ./*.tar.* /mnt/again/
