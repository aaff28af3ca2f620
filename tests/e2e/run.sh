#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Runs the end-to-end tests and reports in TAP. Arguments go to pytest, which runs in this
# directory: a test file, from wherever it is named, -k WORD, -x. $DOTPROXY names the program,
# ./dotproxy if it is not set.

set -eu

python=${PYTHON3:-/usr/bin/python3}
DOTPROXY=$(realpath "${DOTPROXY:-./dotproxy}")
export DOTPROXY

if ! "$python" -c 'import cryptography, dns, pytest' 2>/dev/null; then
    echo '1..0 # SKIP python3-pytest, python3-dnspython and python3-cryptography are needed'
    exit 0
fi
if [ ! -x "$DOTPROXY" ]; then
    echo "Bail out! there is no $DOTPROXY"
    exit 1
fi

for argument; do
    shift
    [ ! -f "$argument" ] || argument=$(realpath "$argument")
    set -- "$@" "$argument"
done
cd "$(dirname "$0")"
exec 3>&1 >/dev/null
status=0
# The source tree may be read-only: nothing is written into it.
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=. "$python" -m pytest \
    -p tap -p no:cacheprovider -c /dev/null --rootdir=. "$@" || status=$?
# 1: tests failed, each of which has been reported and is not to be counted twice.
[ $status -eq 1 ] || exit $status
