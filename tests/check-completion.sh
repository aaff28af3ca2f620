#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The completions for bash, asked as bash asks them, and held against what the programs say they
# take, so that neither can change without the other. Prints TAP.

set -uo pipefail

top=${srcdir:-$(dirname "$0")/..}
number=0

compopt() { true; } # works only where bash itself asks

# shellcheck source=/dev/null
. "$top/completion/dotproxy"
# shellcheck source=/dev/null
. "$top/completion/dotproxyctl"

# complete_line WORD...: what the last word can become, sorted, in one line.
complete_line() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    "_$1" "$1" "${*: -1}" "${*: -2:1}"
    printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort | paste -s -d ' '
}

# offers EXPECTED WORD...
offers() {
    local expected=$1 offered
    shift
    number=$((number + 1))
    offered=$(complete_line "$@")
    if [ "$offered" = "$expected" ]; then
        echo "ok $number - $*"
    else
        printf 'not ok %d - %s\n# offered:  %s\n# expected: %s\n' \
            "$number" "$*" "$offered" "$expected"
    fi
}

# words PATTERN: what it finds in the standard input, sorted, in one line.
words() { grep -oE -- "$1" | LC_ALL=C sort -u | paste -s -d ' '; }

usage=$(./dotproxy -h)
offers "$(sed '1s/^usage: dotproxy//' <<<"$usage" | head -n 1 | words '-[-a-zA-Z]+')" dotproxy ''
offers '-f' dotproxy -c file -f
offers '--connect' dotproxy -t --
offers "$top/completion/dotproxyctl" dotproxy -c "$top/completion/dotproxyc"
offers "$top/completion/dotproxyctl" dotproxy -t -p "$top/completion/dotproxyc"

usage=$(./dotproxyctl -h)
offers "$(grep -oE '^  -?[a-zA-Z]+' <<<"$usage" | words '[-a-zA-Z]+')" dotproxyctl ''
offers 'cache' dotproxyctl c
offers 'reload' dotproxyctl -s socket re
offers "$top/completion/dotproxyctl" dotproxyctl -c "$top/completion/dotproxyc"
offers 'block' dotproxyctl b
offers '' dotproxyctl block ''
offers '' dotproxyctl status ''
offers '--below' dotproxyctl flush ''
offers '' dotproxyctl flush --below ''
offers 'AAAA' dotproxyctl -c file flush www.example.org AAA
offers "$(grep -oE 'Type\{"[A-Z0-9]+' "$top/src/ctl/name_text.cc" | cut -d '"' -f 2 | words '.+')" \
    dotproxyctl flush www.example.org ''
offers '' dotproxyctl flush www.example.org A ''

for command in dotproxy dotproxyctl; do
    number=$((number + 1))
    complete -p "$command" >/dev/null || printf 'not '
    echo "ok $number - there is a completion for $command"
done
echo "1..$number"
