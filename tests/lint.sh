#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What style is checked by machine: clang-format over src/ and tests/, clang-tidy over src/, shellcheck
# over every script, and the manual pages. Prints TAP. Not part of `make check`, since the answer
# depends on the version of the tools; `./build.sh check` runs it through automake's driver. What the
# LLVM tools of Debian 12 say counts; with others their cases are skipped.
#
# A file that clang-tidy found clean is not read again until it, a header that it includes,
# .clang-tidy or clang-tidy itself changes. Notes about that are kept in $lint_notes, or in lint/ of
# the current directory.

set -euo pipefail

top=$(cd "${srcdir:-$(dirname "$0")/..}" && pwd)
notes=${lint_notes:-$PWD/lint}
[ "${1:-}" != --tidy ] || notes=$2 # how this script calls itself, once for each file
limit=1200 # seconds for one file, since it may run at a low priority
number=0

# result TEXT OFFENCES: passes when there is none.
result() {
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        echo "# ${2//$'\n'/$'\n'# }"
    fi
}

# tidy FILE: clang-tidy's findings go to notes/FILE.found; notes/FILE.clean says for what it was
# run.
tidy() {
    local file=$1 note=$notes/${1//\//_} state parts flags
    read -ra flags < <(pkg-config --cflags gnutls libconfig libnghttp2 libseccomp)
    flags+=(-std=c++20 -Isrc '-DSYSCONFDIR="/etc"' '-DPACKAGE_VERSION="0"')
    mapfile -t parts < <(g++ -MM "${flags[@]}" "$file" | sed 's/\\$//' | tr -s ' ' '\n' | sed 1d)
    state=$(cat "${parts[@]:?}" .clang-tidy "$0" <(clang-tidy --version) | sha256sum)
    if [ -e "$note.clean" ] && [ "$(<"$note.clean")" = "$state" ]; then
        return
    fi
    rm -f "$note.clean"
    # Nearly all that it does is to read and write memory that it asks for: in pages of 2 MiB, where
    # there are any, it takes a fifth less.
    local -x GLIBC_TUNABLES=glibc.malloc.hugetlb=1
    # The analyser looks at as many states of a function as find what it finds here; by itself it
    # takes three times as many, and as long.
    if timeout "$limit" clang-tidy --quiet "$file" -- "${flags[@]}" \
        -Xclang -analyzer-config -Xclang max-nodes=75000 >"$note.found" 2>&1; then
        rm -f "$note.found"
        echo "$state" >"$note.clean"
    else
        echo "clang-tidy ended with status $?" >>"$note.found"
    fi
}

cd "$top"
mkdir -p "$notes"
if [ "${1:-}" = --tidy ]; then
    tidy "$3"
    exit
fi

mapfile -t sources < <(find src -name '*.cc' | sort)
mapfile -t others < <(find src tests -name '*.hh' -o -path 'tests/*.cc' | sort)
mapfile -t pages < <(find man -name '*.[1-9]' | sort)
# By their first line or their name: some are sourced, and some have a name that is given to them.
mapfile -t scripts < <({
    find build.sh tests debian -type f \( -name '*.sh' -o -path debian/tests/lib \)
    find completion -type f
    find .ci debian tests -type f ! -path '*/corpus/*' -exec awk \
        'FNR == 1 && /^#!.*[ \/](ba)?sh( |$)/ { print FILENAME } { nextfile }' {} +
} 2>/dev/null | sort -u)
echo "1..$((${#sources[@]} * 2 + ${#others[@]} + ${#scripts[@]} + ${#pages[@]} * 2))"

# usable TOOL COUNT: whether it is there in the one version whose opinion counts; if not, the
# COUNT cases that need it are skipped.
usable() {
    local i
    ! "$1" --version 2>/dev/null | grep -q 'version 14\.' || return 0
    for ((i = 0; i < $2; i++)); do
        number=$((number + 1))
        echo "ok $number - $1 # SKIP $1 14 is needed, of Debian 12"
    done
    return 1
}

# format FILE...: what clang-format finds in each of them goes to offences. It is started once: to
# start it takes twenty times as long as to read a file. What it says of no file is the first one's.
declare -A offences
format() {
    local file=$1 line status=0
    clang-format --dry-run --Werror "$@" >"$notes/format" 2>&1 || status=$?
    while IFS= read -r line; do
        [[ ! $line =~ ^([^:]+\.(cc|hh)):[0-9]+: ]] || file=${BASH_REMATCH[1]}
        offences[$file]+=$line$'\n'
    done <"$notes/format"
    [ $status -eq 0 ] || [ -s "$notes/format" ] ||
        offences[$file]="clang-format ended with status $status"
}

if usable clang-format $((${#sources[@]} + ${#others[@]})); then
    format "${sources[@]}" "${others[@]}"
    for file in "${sources[@]}" "${others[@]}"; do
        result "clang-format $file" "${offences[$file]:-}"
    done
fi

if usable clang-tidy ${#sources[@]}; then
    printf '%s\n' "${sources[@]}" |
        srcdir=$top xargs -P "$(nproc)" -n 1 tests/lint.sh --tidy "$notes"
    for file in "${sources[@]}"; do
        note=$notes/${file//\//_}
        result "clang-tidy $file" "$([ -e "$note.clean" ] || cat "$note.found")"
    done
fi

for script in "${scripts[@]}"; do
    result "shellcheck $script" "$(shellcheck --external-sources "$script" 2>&1)"
done

for page in "${pages[@]}"; do
    result "mandoc -T lint $page" "$(mandoc -T lint -W warning "$page" 2>&1 || true)"
    result "man --warnings $page" \
        "$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l "$page" 2>&1 >/dev/null)"
done
