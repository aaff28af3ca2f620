// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/memory.hh"

#include "unit.hh"

#include <string>
#include <sys/sysinfo.h>

using dotproxy::available_memory;
using dotproxy::Config;
using dotproxy::OomWatch;
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

void test_oom_watch_when_the_count_grows_then_it_was_memory(void** /*state*/) {
    OomWatch watch{3};
    assert_false(watch.killed(3)); // somebody's kill -9, and another one
    assert_false(watch.killed(3));
    assert_true(watch.killed(4));
    assert_false(watch.killed(4));
    assert_true(watch.killed(7));
    assert_false(watch.killed(2)); // of another group, to which it was moved
    assert_true(watch.killed(3));
}

void test_oom_watch_when_there_is_no_count_then_every_second_one(void** /*state*/) {
    OomWatch watch{std::nullopt};
    assert_false(watch.killed(std::nullopt));
    assert_true(watch.killed(std::nullopt));
    assert_false(watch.killed(std::nullopt));
    assert_true(watch.killed(std::nullopt));
}

void test_oom_watch_when_the_count_comes_and_goes_then_what_there_is(void** /*state*/) {
    OomWatch watch{std::nullopt};
    assert_false(watch.killed(5)); // whether it has grown cannot be told
    assert_false(watch.killed(5));
    assert_true(watch.killed(6));
    assert_true(watch.killed(std::nullopt));
    assert_false(watch.killed(6));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_within_memory_when_more_than_half_then_half_in_whole_mebi),
        cmocka_unit_test(test_available_memory_then_no_more_than_the_machine_has),
        cmocka_unit_test(test_oom_watch_when_the_count_grows_then_it_was_memory),
        cmocka_unit_test(test_oom_watch_when_there_is_no_count_then_every_second_one),
        cmocka_unit_test(test_oom_watch_when_the_count_comes_and_goes_then_what_there_is),
    };
    return cmocka_run_group_tests_name("master/memory", tests, nullptr, nullptr);
}
