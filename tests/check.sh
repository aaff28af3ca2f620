# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by build.sh, whose functions it uses: `./build.sh check` runs each test once, and with
# CI=true it is all of continuous integration.
#
# What has clocks in it and what only computes are kept apart. Suites of tests run one after another;
# they wait more than they work, so that each runs twice as many tests at a time as there are
# processors. What they leave of the processors is for what can take any time, at a low priority:
# the builds with sanitizers, reading the code, fuzzing.
# shellcheck shell=bash disable=SC2154

test_jobs=$((jobs * 2))
faster=(--enable-pch --enable-werror) # for what is built for its tests alone
no_programs=(check_PROGRAMS= check_LIBRARIES=) # for make, where no test needs them all
verdicts=build/verdicts.trs # of what is no test but counts as one, as automake's driver writes them
aside=                      # the process group that runs at a low priority, while it does

# verdict PASS|FAIL
verdict() { echo ":test-result: $1" >>$verdicts; }

# attempt COMMAND...: for what is no test but must work.
attempt() { "$@" || verdict FAIL; }

# begin_aside COMMAND...: runs it at a low priority until end_aside.
begin_aside() {
    set -m # a process group of its own, which can be ended as a whole
    {
        set +m
        renice -n 10 -p "$BASHPID" >/dev/null
        "$@"
    } &
    aside=$!
    set +m
}

# Waits for what was begun; fails when that did.
end_aside() {
    local status=0
    wait "$aside" || status=$?
    aside=
    return $status
}

stop_aside() {
    [ -z "$aside" ] || ! kill -- "-$aside" 2>/dev/null || wait "$aside" || true
    aside=
}

# failures DIRECTORY MARK: the results below it, newer than a file, with a test case that failed.
failures() {
    find "$1" -name '*.trs' -newer "$2" \
        -exec grep -lE '^:test-result: (FAIL|XPASS|ERROR)' {} + 2>/dev/null || true
}

# show_failures DIRECTORY MARK: what those tests wrote.
show_failures() {
    local result
    failures "$1" "$2" | while read -r result; do
        say "${result%.trs}.log"
        show_end "${result%.trs}.log"
    done
}

# run_tests TEXT DIRECTORY MAKE-ARGUMENT...
run_tests() {
    local text=$1 directory=$2 mark
    shift 2
    mark=$(mktemp "$work/mark.XXXXXX")
    step "$text" make -C "$directory" "$@" && return
    show_failures "$directory" "$mark"
    # A make that fails though no test did is a failure of its own.
    [ -n "$(failures "$directory" "$mark")" ]
}

# count RESULTS: how many test cases ended so. Those of distcheck are in its list, whatever it leaves
# behind when it fails.
count() {
    find build -name '*.trs' ! -path '*/_build/*' -exec cat {} + |
        grep -cE "^:test-result: ($1)" || true
}

# Why test cases were skipped, and how many for each reason.
show_skips() {
    find build -name '*.trs' ! -path '*/_build/*' | sed 's/trs$/log/' |
        { xargs -r grep -shE '^(ok [0-9]+ .*|1\.\.0 )# SKIP' || true; } | sed 's/.*# SKIP *//' |
        sort | uniq -c | while read -r number reason; do
        say "Skipped $number: $reason"
    done
}

## What has clocks in it

make_distcheck() {
    # Each test's lines stay together.
    make -C build/check -j "$test_jobs" --output-sync distcheck \
        DISTCHECK_CONFIGURE_FLAGS="--enable-pch CXXFLAGS=-O2" 2>&1 | tee build/check/distcheck.out
}

# Builds what a release would be, without what a debugger needs, and runs all tests there. It removes
# what they leave, so what it printed of each case is put where those of the other suites are.
distcheck() {
    local status=0 mark list=build/check/distcheck
    mark=$(mktemp "$work/mark.XXXXXX")
    step "make distcheck, with all tests" make_distcheck || status=$?
    sed -nE 's/^(PASS|FAIL|SKIP|XFAIL|XPASS|ERROR): .*/:test-result: \1/p' $list.out >$list.trs
    sed -nE -e 's/^SKIP: (.* # SKIP)/ok 0 \1/p' -e t \
        -e 's/^SKIP: [^ ]+ -/1..0 # SKIP/p' $list.out >$list.log
    [ $status -ne 0 ] || return 0
    show_failures build/check/dotproxy-*/_build "$mark"
    grep -qE ' (FAIL|XPASS|ERROR)$' $list.trs
}

# The package, on whole systems: see tests/system. It starts no service on this machine. Machines
# that boot wait; one more at a time than there are processors.
system_tests() {
    run_tests "Running the package on whole systems" build/check -j $((jobs + 1)) \
        check-system "${no_programs[@]}"
}

## What can take any time

# -Og, since with -O1 and a sanitizer the compiler takes two to four times as long for a test; and
# lines are all that the sanitizers' reports name.
build_sanitized() {
    build build/asan "${faster[@]}" --enable-asan CXXFLAGS='-g1 -Og'
}

# What several processes do to the memory they share, as threads, and nothing else of the program.
thread_sanitizer() {
    local only=tests/shared/test_threads
    configure_in build/tsan --enable-werror --enable-tsan CXXFLAGS='-g -O1' &&
        run_tests "Running the cache under ThreadSanitizer" build/tsan -j "$jobs" check \
            TESTS=$only check_PROGRAMS=$only check_LIBRARIES= noinst_LIBRARIES= sbin_PROGRAMS=
}

# It needs nothing built.
lint() {
    run_tests "Reading the code (clang-format, clang-tidy, shellcheck, mandoc)" build/check \
        check-TESTS TESTS=tests/lint.sh TEST_SUITE_LOG=lint-suite.log "${no_programs[@]}"
}

# fuzz_target TARGET: for half a minute, with what libFuzzer makes of the corpus.
fuzz_target() {
    local corpus
    corpus=$(mktemp -d "$work/corpus.XXXXXX")
    step "Fuzzing ${1##*/} for half a minute" "$1" -max_total_time=30 -timeout=10 \
        -artifact_prefix=build/fuzz/ "$corpus" "tests/fuzz/corpus/${1##*/fuzz_}"
}

# Waits for one of the targets that run, and counts it.
finish_fuzzing() {
    if wait -n; then
        verdict PASS
    else
        verdict FAIL
    fi
}

# All targets, as many at a time as there are processors. Nothing is built but them.
fuzz() {
    local target targets running=0
    configure_in build/fuzz CXX=clang++ --enable-pch --enable-fuzzing --enable-asan \
        CXXFLAGS='-g1 -O2' || return
    # With large pages clang takes less time. Of the precompiled header it wants to know that it was
    # made of this very file, and not of another one that is the same.
    CCACHE_DISABLE=1 GLIBC_TUNABLES=glibc.malloc.hugetlb=1 step "Building build/fuzz" make -C build/fuzz -j "$jobs" sbin_PROGRAMS= noinst_LIBRARIES= ||
        return
    mapfile -t targets < <(find build/fuzz/tests/fuzz -name 'fuzz_*' -type f -executable | sort)
    [ ${#targets[@]} -gt 0 ] || { say "There is nothing to fuzz" && return 1; }
    for target in "${targets[@]}"; do
        if [ $running -lt "$jobs" ]; then
            running=$((running + 1))
        else
            finish_fuzzing
        fi
        fuzz_target "$target" &
    done
    for (( ; running > 0; running--)); do
        finish_fuzzing
    done
}

# No tarball has build.sh, so that distcheck could not try it. What it runs need not be fast.
try_build_script() {
    configure_in build/try --enable-pch CXXFLAGS=-O0 &&
        step "Building dotproxy" make -C build/try -j "$jobs" &&
        run_tests "Trying build.sh" build/try check-TESTS TESTS=tests/check-build.sh \
            "${no_programs[@]}"
}

read_and_fuzz() {
    attempt thread_sanitizer
    attempt lint
    attempt try_build_script
    attempt fuzz
}

## All

install_what_checks_need() {
    local packages files=(tests/packages)
    [ "${CI:-}" != true ] || files+=(tests/system/packages)
    mapfile -t packages < <(grep -hv '^#' "${files[@]}")
    install_build_dependencies
    install_packages "${packages[@]}"
}

# Each test once, and the style: for who has changed something. -Og takes an eighth less to compile.
check_once() {
    if build build/check "${faster[@]}" CXXFLAGS=-Og; then
        begin_aside lint
        attempt run_tests "Running the tests" build/check -j "$test_jobs" check
        attempt end_aside
    else
        verdict FAIL
    fi
}

# What was compiled or read before, and has not changed since, is kept beside the root file systems
# of the system tests and taken from there. Packages are compiled anew each time.
keep_what_is_computed() {
    local store=${DOTPROXY_TEST_ROOTS:-/var/cache/dotproxy-tests}
    mkdir -p "$store"
    export lint_notes=$store/lint PATH=/usr/lib/ccache:$PATH
    export CCACHE_DIR=$store/ccache CCACHE_MAXSIZE=2G CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1
    export CCACHE_SLOPPINESS=pch_defines,time_macros # the C++ library's headers have none of them
}

# As a release would be, with sanitizers, on whole systems.
check_all() {
    keep_what_is_computed
    # distcheck builds what it tests; build/check makes tarballs, and holds results.
    attempt configure_in build/check --enable-werror
    begin_aside build_sanitized
    attempt distcheck
    if end_aside; then
        begin_aside read_and_fuzz
        attempt run_tests "Running the tests under AddressSanitizer" build/asan -j "$test_jobs" check
    else
        verdict FAIL
        begin_aside read_and_fuzz
    fi
    attempt system_tests
    attempt end_aside
}

run_checks() {
    local passed failed skipped
    install_what_checks_need
    mkdir -p build
    find build -name '*.trs' ! -path '*/_build/*' -delete
    : >$verdicts
    trap 'stop_aside; clean_up' EXIT

    if [ "${CI:-}" = true ]; then
        check_all
    else
        check_once
    fi

    passed=$(count 'PASS|XFAIL')
    failed=$(count 'FAIL|XPASS|ERROR')
    skipped=$(count SKIP)
    show_skips
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}
