# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by build.sh, whose functions it uses: `./build.sh check`, and with CI=true all of
# continuous integration.
# shellcheck shell=bash disable=SC2154

failed_steps=0
passed_steps=0

# attempt COMMAND...: for what is no test but must work.
attempt() { "$@" || failed_steps=$((failed_steps + 1)); }

# show_failures DIRECTORY: what the tests that failed wrote.
show_failures() {
    local result
    grep -rlE --include='*.trs' '^:test-result: (FAIL|XPASS|ERROR)' "$1" | while read -r result; do
        say "${result%.trs}.log"
        show_end "${result%.trs}.log"
    done
}

# run_tests TEXT DIRECTORY MAKE-ARGUMENT...
run_tests() {
    local text=$1 directory=$2
    shift 2
    step "$text" make -C "$directory" -j "$jobs" check "$@" && return
    show_failures "$directory"
    # A make that fails though no test did is a failure of its own.
    [ "$(count "$directory" 'FAIL|XPASS|ERROR')" -gt 0 ]
}

# count DIRECTORY RESULTS: how many test cases below it ended so. Those of distcheck are the same
# once more.
count() {
    find "$1" -name '*.trs' ! -path '*/_build/*' -exec cat {} + |
        grep -cE "^:test-result: ($2)" || true
}

# Why test cases were skipped, and how many for each reason.
show_skips() {
    find build -name '*.trs' ! -path '*/_build/*' | sed 's/trs$/log/' |
        { xargs -r grep -hE '^(ok [0-9]+ .*|1\.\.0 )# SKIP' || true; } | sed 's/.*# SKIP *//' |
        sort | uniq -c | while read -r number reason; do
        say "Skipped $number: $reason"
    done
}

# fuzz_target TARGET: for a minute, with what libFuzzer makes of the corpus.
fuzz_target() {
    local corpus
    corpus=$(mktemp -d "$work/corpus.XXXXXX")
    step "Fuzzing ${1##*/} for a minute" "$1" -max_total_time=60 -timeout=10 \
        -artifact_prefix=build/fuzz/ "$corpus" "tests/fuzz/corpus/${1##*/fuzz_}"
}

# Waits for one of the targets that run, and counts it.
finish_fuzzing() {
    if wait -n; then
        passed_steps=$((passed_steps + 1))
    else
        failed_steps=$((failed_steps + 1))
    fi
}

# All targets, as many at a time as there are processors.
fuzz() {
    local target targets running=0
    build build/fuzz CXX=clang++ --enable-fuzzing --enable-asan || return
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

# What several processes do to the memory they share, as threads, and nothing else of the program.
thread_sanitizer() {
    local only=tests/shared/test_threads
    configure_in build/tsan --enable-werror --enable-tsan CXXFLAGS='-g -O1' &&
        run_tests "Running the cache under ThreadSanitizer" build/tsan TESTS=$only \
            check_PROGRAMS=$only check_LIBRARIES= noinst_LIBRARIES= sbin_PROGRAMS=
}

# The package, on whole systems: see tests/system. It starts no service on this machine.
system_tests() {
    local packages
    mapfile -t packages < <(grep -v '^#' tests/system/packages)
    install_packages "${packages[@]}"
    # shellcheck disable=SC2016 # make's
    run_tests "Running the package on whole systems" build/check 'TESTS=$(SYSTEM_TESTS)'
}

run_checks() {
    local packages passed failed skipped
    mapfile -t packages < <(grep -v '^#' tests/packages)
    install_build_dependencies
    install_packages "${packages[@]}"
    mkdir -p build
    find build -name '*.trs' ! -path '*/_build/*' -delete

    if build build/check --enable-werror; then
        attempt run_tests "Running the tests" build/check
        attempt run_tests "Reading the code (clang-format, clang-tidy, mandoc)" build/check \
            TESTS=tests/lint.sh
    else
        failed_steps=$((failed_steps + 1))
    fi
    if build build/asan --enable-werror --enable-asan CXXFLAGS='-g -O1'; then
        attempt run_tests "Running the tests under AddressSanitizer" build/asan
    else
        failed_steps=$((failed_steps + 1))
    fi
    attempt thread_sanitizer
    if [ "${CI:-}" = true ]; then
        attempt fuzz
        attempt step "make distcheck" make -C build/check -j "$jobs" VERBOSE=1 distcheck
        attempt system_tests
    fi

    passed=$(($(count build 'PASS|XFAIL') + passed_steps))
    failed=$(($(count build 'FAIL|XPASS|ERROR') + failed_steps))
    skipped=$(count build SKIP)
    show_skips
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}
