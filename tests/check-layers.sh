#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The arrows between the rooms of src/, read from the includes. Linking proves the same for what has
# object code; this finds a header that reaches across as well. And that no end-to-end test is
# forgotten by make. Prints TAP.

set -eu

top=${srcdir:-$(dirname "$0")/..}
src=$top/src
number=0

# result TEXT OFFENCES: passes when there is none.
result() {
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
    fi
}

# includes FILE-OR-ROOM: its includes as file:line:TARGET, where TARGET keeps its opening < or ".
includes() {
    grep -HrEn '^[[:space:]]*#[[:space:]]*include' "$src/$1" | sed "s|^$src/||
        s|:[[:space:]]*#[[:space:]]*include[[:space:]]*|:|; s|[>\"][^>\"]*\$||"
}

# may_include FILE-OR-ROOM PATTERN: every include of our own files matches ^PATTERN.
may_include() {
    result "$1 includes nothing but $2" "$(includes "$1" | grep ':"' | grep -Ev ":\"($2)" || true)"
}

# only ROOM INCLUDES LIBRARY: no other part of src/ includes it.
only() {
    result "only $1 includes $2" "$(includes . | grep -E ":[<\"]$2" | grep -Ev "^(\./)?$1/" || true)"
}

echo 1..21
may_include base 'base/'
may_include dns 'dns/'
may_include tls '(tls|base)/'
may_include http '(http|base)/'
may_include config '(config|dns|base)/'
may_include shared '(shared|base)/'
may_include sandbox '(sandbox|base)/'
may_include upstream '(upstream|tls|http|shared|config|dns|base)/'
may_include relay '(relay|upstream|tls|shared|config|dns|base)/'
may_include front '(front|relay|upstream|tls|http|shared|config|dns|base)/'
may_include worker '(worker|front|relay|upstream|tls|shared|config|base)/'
may_include master '(master|tls|shared|sandbox|config|base)/|worker/(worker|upstream_check)\.hh$'
may_include ctl '(ctl|dns|config|base)/'
may_include main.cc '(master|config|base)/'
only tls gnutls
only http nghttp2
only config libconfig
only sandbox seccomp
result 'no include is relative' "$(includes . | grep -E ':"(\.|[^/]*$)' || true)"
result 'every file is in a room' "$(find "$src" -maxdepth 1 -name '*.[ch][ch]' ! -name main.cc)"
result 'tests/e2e/local.mk names every test_*.py' "$(for file in "$top"/tests/e2e/test_*.py; do
    name=tests/e2e/${file##*/}
    grep -Eq "^[[:space:]]+$name( |\$)" "$top/tests/e2e/local.mk" || echo "$name"
done)"
