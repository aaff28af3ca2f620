// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/counters.hh"

#include "unit.hh"

#include <memory>
#include <set>
#include <string>

using dotproxy::ClosedBy;
using dotproxy::ConnectFailure;
using dotproxy::count_of;
using dotproxy::Counter;
using dotproxy::Counters;
using dotproxy::FailureReason;
using dotproxy::first_gauge;
using dotproxy::for_each_of;
using dotproxy::name_of;
using dotproxy::Outcome;
using dotproxy::QueryType;
using dotproxy::ReloadResult;
using dotproxy::ResponseCode;
using dotproxy::RestartReason;
using dotproxy::UpstreamCounter;
using dotproxy::UpstreamCounts;
using dotproxy::UpstreamTime;

namespace {

std::unique_ptr<Counters> make_counters() {
    return std::make_unique<Counters>();
}

void test_new_then_nothing_was_counted(void** /*state*/) {
    const auto counters = make_counters();
    for_each_of<Counter>([&](Counter counter) { assert_int_equal(counters->get(counter), 0); });
}

void test_add_then_only_that_one_grows(void** /*state*/) {
    const auto counters = make_counters();
    counters->add(Counter::joined);
    counters->add(Counter::joined, 41);
    counters->add(FailureReason::timeout, 3);
    for_each_of<Counter>([&](Counter counter) {
        assert_int_equal(counters->get(counter), counter == Counter::joined ? 42 : 0);
    });
    for_each_of<FailureReason>([&](FailureReason reason) {
        assert_int_equal(counters->get(reason), reason == FailureReason::timeout ? 3 : 0);
    });
    for_each_of<QueryType>([&](QueryType type) { assert_int_equal(counters->get(type), 0); });
}

void test_add_when_beyond_32_bits_then_counted(void** /*state*/) {
    const auto counters = make_counters();
    counters->add(Counter::udp_queries, 0xffffffffU);
    counters->add(Counter::udp_queries);
    assert_int_equal(counters->get(Counter::udp_queries), 0x100000000U);
}

void test_set_then_what_was_there_is_replaced(void** /*state*/) {
    const auto counters = make_counters();
    counters->set(Counter::tcp_clients, 7);
    counters->set(Counter::tcp_clients, 3);
    assert_int_equal(counters->get(Counter::tcp_clients), 3);
}

// L48: what a worker held is gone with it, what it did was done.
void test_clear_gauges_then_only_they_are_zero(void** /*state*/) {
    const auto counters = make_counters();
    for_each_of<Counter>([&](Counter counter) { counters->set(counter, 9); });
    counters->clear_gauges();
    for_each_of<Counter>([&](Counter counter) {
        assert_int_equal(counters->get(counter), counter < first_gauge ? 9 : 0);
    });
}

void test_upstream_then_each_row_counts_for_itself(void** /*state*/) {
    const auto counters = make_counters();
    counters->upstream(0).add(UpstreamCounter::queries, 2);
    counters->upstream(1).add(ConnectFailure::expired);
    counters->upstream(dotproxy::other_upstreams).add(ClosedBy::us);
    assert_int_equal(counters->upstream(0).get(UpstreamCounter::queries), 2);
    assert_int_equal(counters->upstream(1).get(UpstreamCounter::queries), 0);
    assert_int_equal(counters->upstream(1).get(ConnectFailure::expired), 1);
    assert_int_equal(counters->upstream(dotproxy::other_upstreams).get(ClosedBy::us), 1);
}

void test_move_to_then_the_other_row_has_it_all(void** /*state*/) {
    const auto counters = make_counters();
    UpstreamCounts& from = counters->upstream(3);
    UpstreamCounts& to = counters->upstream(4);
    from.add(UpstreamCounter::answers, 5);
    from.add(ConnectFailure::reset);
    from.time(UpstreamTime::rtt).add(std::chrono::nanoseconds{2'000'000});
    to.add(UpstreamCounter::answers, 1);
    from.move_to(to);
    assert_int_equal(to.get(UpstreamCounter::answers), 6);
    assert_int_equal(to.get(ConnectFailure::reset), 1);
    assert_int_equal(to.time(UpstreamTime::rtt).sum(), 2'000'000);
    assert_int_equal(from.get(UpstreamCounter::answers), 0);
    assert_int_equal(from.get(ConnectFailure::reset), 0);
    assert_int_equal(from.time(UpstreamTime::rtt).sum(), 0);
}

template <class Key>
void collect(std::multiset<std::string>& names) {
    for_each_of<Key>([&](Key key) {
        assert_false(dotproxy::names_of<Key>.each[static_cast<std::size_t>(key)].empty());
        names.insert(name_of(key));
    });
}

// The names stand apart from the enumerations: none may be missing or appear twice.
void test_names_then_every_one_once(void** /*state*/) {
    std::multiset<std::string> names;
    collect<Counter>(names);
    collect<QueryType>(names);
    collect<ResponseCode>(names);
    collect<FailureReason>(names);
    collect<Outcome>(names);
    collect<RestartReason>(names);
    collect<ReloadResult>(names);
    collect<UpstreamCounter>(names);
    collect<ConnectFailure>(names);
    collect<ClosedBy>(names);
    collect<UpstreamTime>(names);
    for (const std::string& name : names) {
        assert_int_equal(names.count(name), 1);
    }
    // The first and the last of the longest, where a missing one would move the others.
    assert_string_equal(name_of(Counter::udp_queries).c_str(), "udp_queries");
    assert_string_equal(name_of(Counter::upstream_connections).c_str(), "upstream_connections");
    assert_string_equal(name_of(QueryType::other).c_str(), "query_types_other");
    assert_string_equal(name_of(ConnectFailure::pin).c_str(), "upstream_connect_failures_pin");
}

// A write to one worker's line must not take it away from another's processor.
void test_counters_then_a_slot_is_whole_cache_lines(void** /*state*/) {
    assert_int_equal(alignof(Counters), 64);
    assert_int_equal(sizeof(Counters) % 64, 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_new_then_nothing_was_counted),
        cmocka_unit_test(test_add_then_only_that_one_grows),
        cmocka_unit_test(test_add_when_beyond_32_bits_then_counted),
        cmocka_unit_test(test_set_then_what_was_there_is_replaced),
        cmocka_unit_test(test_clear_gauges_then_only_they_are_zero),
        cmocka_unit_test(test_upstream_then_each_row_counts_for_itself),
        cmocka_unit_test(test_move_to_then_the_other_row_has_it_all),
        cmocka_unit_test(test_names_then_every_one_once),
        cmocka_unit_test(test_counters_then_a_slot_is_whole_cache_lines),
    };
    return cmocka_run_group_tests_name("shared/counters", tests, nullptr, nullptr);
}
