// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/counter_region.hh"

#include "unit.hh"

#include <memory>
#include <set>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using dotproxy::Counter;
using dotproxy::CounterLease;
using dotproxy::CounterRegion;
using dotproxy::Counters;
using dotproxy::other_upstreams;
using dotproxy::upstream_rows;
using dotproxy::UpstreamCounter;

namespace {

/// "a0", "a1" ... without the first `begin`.
std::vector<std::string> addresses(unsigned begin, unsigned end) {
    std::vector<std::string> texts;
    for (unsigned i = begin; i < end; ++i) {
        texts.push_back("a" + std::to_string(i));
    }
    return texts;
}

void test_lease_when_a_child_counts_then_the_parent_sees_it(void** /*state*/) {
    CounterRegion region{3};
    const CounterLease lease = region.lease(3, {});
    assert_int_equal(lease.size(), 3);
    lease.slot(0).add(Counter::udp_queries, 5);
    const pid_t child = ::fork();
    if (child == 0) {
        lease.slot(1).add(Counter::udp_queries, 6);
        lease.slot(2).set(Counter::tcp_clients, 9);
        lease.slot(1).forbidden_call() = 77;
        ::_exit(lease.slot(0).get(Counter::udp_queries) == 5 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(::waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(lease.slot(1).get(Counter::udp_queries), 6);
    assert_int_equal(lease.sum(Counter::udp_queries), 11);
    assert_int_equal(region.sum(Counter::udp_queries), 11);
    assert_int_equal(region.sum(Counter::tcp_clients), 9);
    assert_int_equal(region.sum(Counter::joined), 0);
    assert_int_equal(lease.slot(1).forbidden_call().load(), 77);
    assert_int_equal(lease.slot(2).forbidden_call().load(), 0);
}

// R3: what was counted stays, and who has the slot next adds to it.
void test_lease_when_slots_were_given_back_then_they_go_on(void** /*state*/) {
    CounterRegion region{2};
    const Counters* first = nullptr;
    {
        const CounterLease lease = region.lease(2, {});
        first = &lease.slot(0);
        lease.slot(0).add(Counter::udp_queries, 7);
    }
    assert_int_equal(region.sum(Counter::udp_queries), 7);
    const CounterLease next = region.lease(2, {});
    assert_ptr_equal(&next.slot(0), first);
    next.slot(0).add(Counter::udp_queries);
    assert_int_equal(region.sum(Counter::udp_queries), 8);
}

// Nobody writes the slot of somebody who is alive, however many generations drain, or the master's.
void test_lease_when_many_drain_then_each_slot_has_one_owner(void** /*state*/) {
    CounterRegion region{2};
    std::set<const Counters*> owned{&region.master()};
    std::vector<CounterLease> leases;
    for (unsigned generation = 0; generation < 40; ++generation) {
        leases.push_back(region.lease(2 + generation % 3, {}));
        for (unsigned i = 0; i < leases.back().size(); ++i) {
            assert_true(owned.insert(&leases.back().slot(i)).second);
            leases.back().slot(i).add(Counter::udp_queries);
        }
    }
    assert_int_equal(region.sum(Counter::udp_queries), owned.size() - 1);
    assert_int_equal(leases.front().sum(Counter::udp_queries), 2);
    leases.clear();
    assert_int_equal(region.sum(Counter::udp_queries), owned.size() - 1);
    // What was given back is enough for the same again.
    for (unsigned generation = 0; generation < 40; ++generation) {
        leases.push_back(region.lease(2 + generation % 3, {}));
        for (unsigned i = 0; i < leases.back().size(); ++i) {
            assert_false(owned.insert(&leases.back().slot(i)).second);
        }
    }
}

void test_lease_when_more_workers_than_ever_then_all_have_one(void** /*state*/) {
    CounterRegion region{1};
    const CounterLease lease = region.lease(30, {});
    std::set<const Counters*> slots;
    for (unsigned i = 0; i < 30; ++i) {
        slots.insert(&lease.slot(i));
    }
    assert_int_equal(slots.size(), 30);
    assert_int_equal(slots.count(&region.master()), 0);
}

void test_sum_when_the_master_counts_too_then_in_it(void** /*state*/) {
    CounterRegion region{1};
    region.master().add(Counter::udp_receive_drops, 4);
    assert_int_equal(region.sum(Counter::udp_receive_drops), 4);
}

// R4: the order of the configuration, and what else is in it, do not matter.
void test_row_when_the_address_had_one_then_it_is_the_same(void** /*state*/) {
    CounterRegion region{1};
    CounterLease old = region.lease(1, addresses(0, 3));
    const unsigned row = old.row_of("a2");
    old.slot(0).upstream(row).add(UpstreamCounter::queries, 3);
    const CounterLease beside = region.lease(1, std::vector<std::string>{"a2", "b", "a0"});
    assert_int_equal(beside.row_of("a2"), row);
    assert_int_equal(beside.row_of("a0"), old.row_of("a0"));
    assert_int_not_equal(beside.row_of("b"), old.row_of("a1"));
    old = CounterLease{};
    const CounterLease later = region.lease(1, addresses(0, 3));
    assert_int_equal(later.row_of("a2"), row);
    assert_int_equal(region.sum(row, UpstreamCounter::queries), 3);
}

void test_row_when_named_twice_then_one(void** /*state*/) {
    CounterRegion region{1};
    const CounterLease lease = region.lease(1, std::vector<std::string>{"a", "a", "b"});
    assert_int_equal(lease.row_of("a"), 0);
    assert_int_equal(lease.row_of("b"), 1);
}

// Nobody's numbers are given to another: they are kept where the rest is.
void test_row_when_given_to_another_then_it_begins_anew_and_nothing_is_lost(void** /*state*/) {
    CounterRegion region{1};
    {
        const CounterLease full = region.lease(1, addresses(0, upstream_rows));
        for (const std::string& address : addresses(0, upstream_rows)) {
            full.slot(0).upstream(full.row_of(address)).add(UpstreamCounter::queries, 10);
        }
        region.master().upstream(full.row_of("a5")).add(UpstreamCounter::queries);
    }
    const CounterLease most = region.lease(1, addresses(0, upstream_rows - 1));
    const CounterLease next = region.lease(1, std::vector<std::string>{"new"});
    const unsigned row = next.row_of("new");
    assert_int_equal(row, upstream_rows - 1); // the only one that no generation had
    assert_int_equal(region.sum(row, UpstreamCounter::queries), 0);
    assert_int_equal(region.sum(other_upstreams, UpstreamCounter::queries), 10);
    assert_int_equal(region.sum(most.row_of("a5"), UpstreamCounter::queries), 11);
}

void test_row_when_several_could_be_given_then_the_one_left_longest(void** /*state*/) {
    CounterRegion region{1};
    CounterLease first = region.lease(1, addresses(0, 10));
    CounterLease rest = region.lease(1, addresses(10, upstream_rows));
    const unsigned longest = rest.row_of("a10");
    rest = CounterLease{};
    first = CounterLease{};
    const CounterLease next = region.lease(1, std::vector<std::string>{"new"});
    assert_int_equal(next.row_of("new"), longest);
}

void test_row_when_none_is_free_then_with_the_others(void** /*state*/) {
    CounterRegion region{1};
    const CounterLease lease = region.lease(1, addresses(0, upstream_rows + 2));
    assert_int_equal(lease.row_of("a63"), 63);
    assert_int_equal(lease.row_of("a64"), other_upstreams);
    assert_int_equal(lease.row_of("a65"), other_upstreams);
    assert_int_equal(lease.row_of("never configured"), other_upstreams);
}

void test_for_each_row_then_those_in_use_and_the_others(void** /*state*/) {
    CounterRegion region{1};
    const CounterLease lease = region.lease(1, addresses(0, 2));
    std::vector<unsigned> rows;
    region.for_each_row([&](unsigned row) { rows.push_back(row); });
    assert_true(rows == (std::vector<unsigned>{0, 1, other_upstreams}));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_lease_when_a_child_counts_then_the_parent_sees_it),
        cmocka_unit_test(test_lease_when_slots_were_given_back_then_they_go_on),
        cmocka_unit_test(test_lease_when_many_drain_then_each_slot_has_one_owner),
        cmocka_unit_test(test_lease_when_more_workers_than_ever_then_all_have_one),
        cmocka_unit_test(test_sum_when_the_master_counts_too_then_in_it),
        cmocka_unit_test(test_row_when_the_address_had_one_then_it_is_the_same),
        cmocka_unit_test(test_row_when_named_twice_then_one),
        cmocka_unit_test(test_row_when_given_to_another_then_it_begins_anew_and_nothing_is_lost),
        cmocka_unit_test(test_row_when_several_could_be_given_then_the_one_left_longest),
        cmocka_unit_test(test_row_when_none_is_free_then_with_the_others),
        cmocka_unit_test(test_for_each_row_then_those_in_use_and_the_others),
    };
    return cmocka_run_group_tests_name("shared/counter_region", tests, nullptr, nullptr);
}
