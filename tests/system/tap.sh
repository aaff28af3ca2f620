# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by tests on the host and in guests: one line of TAP a check, and conditions to wait for.
# shellcheck shell=bash

checks=0
failures=0

# check TEXT COMMAND...: passes when the command succeeds. What it wrote is shown when it fails.
check() {
    local text=$1 output status=0
    shift
    checks=$((checks + 1))
    output=$("$@" 2>&1) || status=$?
    if [ $status -eq 0 ]; then
        echo "ok $checks - $text"
    else
        failures=$((failures + 1))
        echo "not ok $checks - $text"
        tail -n 40 <<<"status $status: $*"$'\n'"$output" | sed 's/^/#   /'
    fi
}

# fails COMMAND...: succeeds when the command does not.
fails() { ! "$@"; }

# gives STATUS COMMAND...: succeeds when the command ends with that status.
gives() {
    local expected=$1 status=0
    shift
    "$@" || status=$?
    [ $status -eq "$expected" ] || { echo "status $status instead of $expected" && return 1; }
}

# within SECONDS COMMAND...: waits for the command to succeed, which counts as three seconds when it
# takes longer. Shows what it wrote last if it never does.
within() {
    local left=$1 before=$SECONDS passed output
    shift
    until output=$("$@" 2>&1); do
        passed=$((SECONDS - before))
        before=$SECONDS
        left=$((left - (passed < 3 ? passed : 3))) # the machine may have stood still
        [ $left -gt 0 ] || { printf '%s\n' "$output" && return 1; }
        sleep 0.1
    done
}

# skip_check TEXT REASON: a check that this machine cannot make.
skip_check() {
    checks=$((checks + 1))
    echo "ok $checks - $1 # SKIP $2"
}

# skip_all REASON: ends a test none of which can run here.
skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}

# The last line of a test.
finish() {
    echo "1..$checks"
    [ $failures -eq 0 ]
}
