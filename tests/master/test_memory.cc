// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/memory.hh"

#include "unit.hh"

#include <string>
#include <sys/sysinfo.h>

using namespace std::chrono_literals;
using dotproxy::available_memory;
using dotproxy::Config;
using dotproxy::OomWatch;
using dotproxy::RunOut;
using dotproxy::within_memory;

namespace {

constexpr std::uint64_t mebi = std::uint64_t{1} << 20U;

/// The size of a cache of `size` where `available` octets are.
std::uint64_t bounded(std::uint64_t size, std::uint64_t available) {
    Config config;
    config.cache.size = size;
    return within_memory(config, {.octets = available, .file = "a test"}).cache.size;
}

void test_within_memory_when_more_than_half_then_half_in_whole_mebi(void** /*state*/) {
    struct Row {
        std::uint64_t size;
        std::uint64_t available;
        std::uint64_t expected;
    };

    for (const Row& row :
         {Row{64 * mebi, 48 * mebi, 24 * mebi}, Row{64 * mebi, 128 * mebi, 64 * mebi},
          Row{64 * mebi, 128 * mebi - 1, 63 * mebi}, Row{64 * mebi, ~std::uint64_t{0}, 64 * mebi},
          Row{24 * mebi, 48 * mebi, 24 * mebi}, Row{64 * mebi, 1, mebi}, Row{0, 1, 0},
          Row{mebi, 0, mebi}}) {
        assert_int_equal(bounded(row.size, row.available), row.expected);
    }
}

void test_available_memory_then_no_more_than_the_machine_has(void** /*state*/) {
    struct sysinfo machine {};

    assert_int_equal(::sysinfo(&machine), 0);
    const auto available = available_memory();
    assert_true(available.octets > 0);
    assert_true(available.octets <= std::uint64_t{machine.totalram} * machine.mem_unit);
    assert_false(available.file.empty());
}

constexpr dotproxy::TimePoint start{1h};

void test_oom_watch_when_the_count_grows_then_it_was_memory(void** /*state*/) {
    OomWatch watch{3};
    assert_true(watch.killed(3, start) == RunOut::no); // somebody's kill -9, and another one
    assert_true(watch.killed(3, start) == RunOut::no);
    assert_true(watch.killed(4, start) == RunOut::certain);
    assert_true(watch.killed(4, start) == RunOut::no);
    assert_true(watch.killed(7, start) == RunOut::certain);
    assert_true(watch.killed(2, start) == RunOut::no); // of another group, to which it was moved
    assert_true(watch.killed(3, start) == RunOut::certain);
}

void test_oom_watch_when_there_is_no_count_then_every_second_one_likely(void** /*state*/) {
    OomWatch watch{std::nullopt};
    for (int i = 0; i < 2; ++i) {
        assert_true(watch.killed(std::nullopt, start) == RunOut::no);
        assert_true(watch.killed(std::nullopt, start + 10min) == RunOut::likely);
    }
}

// Who kills a worker today and one next week has nothing to do with memory.
void test_oom_watch_when_there_is_no_count_and_long_between_then_not_memory(void** /*state*/) {
    OomWatch watch{std::nullopt};
    for (int i = 0; i < 3; ++i) {
        assert_true(watch.killed(std::nullopt, start + i * (10min + 1ns)) == RunOut::no);
    }
    assert_true(watch.killed(std::nullopt, start + 21min) == RunOut::likely);
}

void test_oom_watch_when_the_count_comes_and_goes_then_what_there_is(void** /*state*/) {
    OomWatch watch{std::nullopt};
    assert_true(watch.killed(5, start) == RunOut::no); // whether it has grown cannot be told
    assert_true(watch.killed(5, start) == RunOut::no);
    assert_true(watch.killed(6, start) == RunOut::certain);
    assert_true(watch.killed(std::nullopt, start) == RunOut::likely);
    assert_true(watch.killed(6, start) == RunOut::no);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_within_memory_when_more_than_half_then_half_in_whole_mebi),
        cmocka_unit_test(test_available_memory_then_no_more_than_the_machine_has),
        cmocka_unit_test(test_oom_watch_when_the_count_grows_then_it_was_memory),
        cmocka_unit_test(test_oom_watch_when_there_is_no_count_then_every_second_one_likely),
        cmocka_unit_test(test_oom_watch_when_there_is_no_count_and_long_between_then_not_memory),
        cmocka_unit_test(test_oom_watch_when_the_count_comes_and_goes_then_what_there_is),
    };
    return cmocka_run_group_tests_name("master/memory", tests, nullptr, nullptr);
}
