#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The manual page shows etc/dotproxy.conf whole: checks that it is the same, so that neither can
# change without the other. Prints TAP.

set -eu

page=${srcdir:-.}/man/dotproxy.conf.5
example=${srcdir:-.}/etc/dotproxy.conf
shown=$(mktemp)
trap 'rm -f "$shown"' EXIT

# What stands between the marks, without the display's own lines and roff's escapes.
sed -n '/^\.\\" BEGIN etc\/dotproxy\.conf$/,/^\.\\" END etc\/dotproxy\.conf$/p' "$page" |
    sed -e '/^\./d' -e 's/\\-/-/g' -e "s/\\\\(aq/'/g" -e 's/\\e/\\/g' >"$shown"

echo 1..1
if ! difference=$(diff -u "$example" "$shown"); then
    printf '%s\n' "$difference" | sed 's/^/# /'
    printf 'not '
fi
echo 'ok 1 - dotproxy.conf(5) shows etc/dotproxy.conf as it is'
