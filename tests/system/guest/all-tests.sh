#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Builds the tarball in /mnt and runs its tests; shows the end of what failed. They wait more than
# they work: two for each processor.

set -euo pipefail

jobs=$((2 * $(nproc)))
mkdir /tmp/source /tmp/build
tar -C /tmp/source --strip-components=1 -xf /mnt/*.orig.tar.gz
cd /tmp/build
/tmp/source/configure --enable-pch CXXFLAGS=-O0 >configure.log 2>&1 || {
    tail -n 20 configure.log
    exit 1
}
status=0
make -j "$jobs" --output-sync check >check.log 2>&1 || status=$?
if [ $status -ne 0 ]; then
    grep -E '^(FAIL|ERROR|XPASS): |error:|^# [A-Z]+:' check.log | head -n 20
    { grep -lrE --include='*.trs' '^:test-result: (FAIL|XPASS|ERROR)' . || true; } | head -n 3 |
        while read -r result; do
            grep -vE '^ok ' "${result%.trs}.log" | tail -n 30
        done | tail -n 35
fi
exit $status
