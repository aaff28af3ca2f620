#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Runs each corpus through its target: tests/fuzz/corpus/NAME through tests/fuzz/corpus_NAME.
# Prints TAP.

set -eu

number=0
failed=0
for corpus in "${srcdir:-.}"/tests/fuzz/corpus/*/; do
    name=$(basename "$corpus")
    number=$((number + 1))
    if output=$(tests/fuzz/corpus_"$name" "$corpus" 2>&1); then
        echo "ok $number - $name: $(echo "$output" | grep -c '^ok ') inputs"
    else
        echo "not ok $number - $name"
        echo "$output" | tail -n 40 | sed 's/^/# /'
        failed=1
    fi
done
echo "1..$number"
exit $failed
