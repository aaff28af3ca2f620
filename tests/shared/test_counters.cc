// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/counters.hh"

#include "unit.hh"

#include <set>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

using dotproxy::Counter;
using dotproxy::counter_count;
using dotproxy::CounterRegion;
using dotproxy::Counters;
using dotproxy::first_gauge;

namespace {

void test_new_then_nothing_was_counted(void** /*state*/) {
    const Counters counters;
    for (std::size_t i = 0; i < counter_count; ++i) {
        assert_int_equal(counters.get(static_cast<Counter>(i)), 0);
    }
    assert_string_equal(counters.text().c_str(), "nothing yet");
}

void test_add_then_only_that_one_grows(void** /*state*/) {
    Counters counters;
    counters.add(Counter::joined);
    counters.add(Counter::joined, 41);
    assert_int_equal(counters.get(Counter::joined), 42);
    for (std::size_t i = 0; i < counter_count; ++i) {
        if (static_cast<Counter>(i) != Counter::joined) {
            assert_int_equal(counters.get(static_cast<Counter>(i)), 0);
        }
    }
}

void test_add_when_beyond_32_bits_then_counted(void** /*state*/) {
    Counters counters;
    counters.add(Counter::udp_queries, 0xffffffffU);
    counters.add(Counter::udp_queries);
    assert_int_equal(counters.get(Counter::udp_queries), 0x100000000U);
}

void test_set_then_what_was_there_is_replaced(void** /*state*/) {
    Counters counters;
    counters.set(Counter::tcp_clients, 7);
    counters.set(Counter::tcp_clients, 3);
    assert_int_equal(counters.get(Counter::tcp_clients), 3);
}

// L48: what a worker held is gone with it, what it did was done.
void test_clear_gauges_then_only_they_are_zero(void** /*state*/) {
    Counters counters;
    for (std::size_t i = 0; i < counter_count; ++i) {
        counters.set(static_cast<Counter>(i), i + 1);
    }
    counters.clear_gauges();
    for (std::size_t i = 0; i < counter_count; ++i) {
        assert_int_equal(counters.get(static_cast<Counter>(i)), i < first_gauge ? i + 1 : 0);
    }
    assert_int_equal(counters.get(Counter::upstream_broken), first_gauge); // the last before them
}

void test_text_then_what_is_not_zero_by_name(void** /*state*/) {
    Counters counters;
    counters.add(Counter::udp_queries, 12);
    counters.add(Counter::accept_paused);
    counters.set(Counter::upstream_connections, 2);
    assert_string_equal(counters.text().c_str(),
                        "udp_queries=12 accept_paused=1 upstream_connections=2");
}

// The table of names stands apart from the enumeration: none may be missing or appear twice.
void test_text_when_all_are_set_then_every_name_once(void** /*state*/) {
    std::set<std::string> names;
    for (std::size_t i = 0; i < counter_count; ++i) {
        Counters counters;
        counters.set(static_cast<Counter>(i), 1);
        const std::string text = counters.text();
        assert_int_equal(text.find("=1"), text.size() - 2);
        assert_int_not_equal(text.size(), 2);
        names.insert(text);
    }
    assert_int_equal(names.size(), counter_count);
}

void test_region_when_a_child_counts_then_the_parent_sees_it(void** /*state*/) {
    CounterRegion region{3};
    assert_int_equal(region.size(), 3);
    region.slot(0).add(Counter::udp_queries, 5);
    const pid_t child = ::fork();
    if (child == 0) {
        region.slot(1).add(Counter::udp_queries, 6);
        region.slot(2).set(Counter::tcp_clients, 9);
        region.slot(1).forbidden_call() = 77;
        ::_exit(region.slot(0).get(Counter::udp_queries) == 5 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(::waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(region.slot(1).get(Counter::udp_queries), 6);
    assert_int_equal(region.slot(2).get(Counter::tcp_clients), 9);
    assert_int_equal(region.sum(Counter::udp_queries), 11);
    assert_int_equal(region.sum(Counter::tcp_clients), 9);
    assert_int_equal(region.sum(Counter::joined), 0);
    assert_int_equal(region.slot(1).forbidden_call().load(), 77);
    assert_int_equal(region.slot(2).forbidden_call().load(), 0);
}

// A write to one worker's line must not take it away from another's processor.
void test_region_then_no_two_slots_share_a_cache_line(void** /*state*/) {
    CounterRegion region{2};
    const auto first = reinterpret_cast<std::uintptr_t>(&region.slot(0));
    const auto second = reinterpret_cast<std::uintptr_t>(&region.slot(1));
    assert_int_equal(first % 64, 0);
    assert_int_equal(second % 64, 0);
    assert_true(second - first >= counter_count * sizeof(std::uint64_t));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_new_then_nothing_was_counted),
        cmocka_unit_test(test_add_then_only_that_one_grows),
        cmocka_unit_test(test_add_when_beyond_32_bits_then_counted),
        cmocka_unit_test(test_set_then_what_was_there_is_replaced),
        cmocka_unit_test(test_clear_gauges_then_only_they_are_zero),
        cmocka_unit_test(test_text_then_what_is_not_zero_by_name),
        cmocka_unit_test(test_text_when_all_are_set_then_every_name_once),
        cmocka_unit_test(test_region_when_a_child_counts_then_the_parent_sees_it),
        cmocka_unit_test(test_region_then_no_two_slots_share_a_cache_line),
    };
    return cmocka_run_group_tests_name("shared/counters", tests, nullptr, nullptr);
}
