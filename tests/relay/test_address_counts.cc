// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/address_counts.hh"

#include "unit.hh"

#include <string>
#include <utility>
#include <vector>

using dotproxy::Address;
using dotproxy::AddressCounts;

namespace {

constexpr bool near = true;
constexpr bool far = false;

Address from(const std::string& literal, std::uint16_t port = 40000) {
    return *Address::parse(literal, port);
}

/// What two addresses have after each took a place: the second one's source, and the network around
/// it.
std::pair<std::uint32_t, std::uint32_t> both(const char* first, const char* second, bool distance) {
    AddressCounts counts{8};
    const AddressCounts::Place one = counts.enter(from(first), distance);
    const AddressCounts::Place two = counts.enter(from(second, 50000), distance);
    assert_true(bool{one} && bool{two});
    return {two.count(), two.count_around()};
}

std::uint32_t together(const char* first, const char* second, bool distance = far) {
    return both(first, second, distance).first;
}

void test_enter_when_ports_differ_then_counted_together(void** /*state*/) {
    assert_int_equal(together("192.0.2.1", "192.0.2.1"), 2);
    assert_int_equal(together("192.0.2.1", "192.0.2.2"), 1);
    assert_int_equal(together("127.0.0.1", "127.0.0.1"), 2);
}

// C15: a host has a /64 of IPv6, and can take another address in it for each connection.
void test_enter_when_ipv6_then_counted_by_64_bits(void** /*state*/) {
    assert_int_equal(together("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"), 2);
    assert_int_equal(together("2001:db8:0:1::1", "2001:db8:0:2::1"), 1);
    assert_int_equal(together("2001:db8::1", "2001:db8:0:1::1"), 1);
}

// limits 9: hosts of one's own network share a /64, and each is a client.
void test_enter_when_near_then_counted_by_address(void** /*state*/) {
    assert_int_equal(together("2001:db8:0:1::1", "2001:db8:0:1::2", near), 1);
    assert_int_equal(together("fe80::1%lo", "fe80::2%lo", near), 1);
    assert_int_equal(together("2001:db8:0:1::1", "2001:db8:0:1::1", near), 2);
    assert_int_equal(together("192.168.0.1", "192.168.0.2", near), 1);
    assert_int_equal(both("192.168.0.1", "192.168.0.1", near).second, 0);
}

// limits 9: who is far has all of a network for nothing.
void test_enter_when_far_then_its_network_is_counted_as_well(void** /*state*/) {
    using Counted = std::pair<std::uint32_t, std::uint32_t>;
    assert_true(both("2001:db8:0:1::1", "2001:db8:0:2::1", far) == (Counted{1, 2}));
    assert_true(both("2001:db8:0:1::1", "2001:db8:1:1::1", far) == (Counted{1, 1}));
    assert_true(both("192.0.2.1", "192.0.2.255", far) == (Counted{1, 2}));
    assert_true(both("192.0.2.1", "192.0.3.1", far) == (Counted{1, 1}));
}

// limits 33: what is left for others, and of a network three times that.
void test_exceeds_when_more_than_is_left_then_so(void** /*state*/) {
    AddressCounts counts{8};
    std::vector<AddressCounts::Place> places;
    for (const char* const peer : {"192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"}) {
        places.push_back(counts.enter(from(peer), far));
    }
    assert_true(places[0].exceeds(1));
    assert_false(places[0].exceeds(2));
    assert_false(places[2].exceeds(2)); // four of its network
    assert_true(places[2].exceeds(1));
    places.pop_back();
    assert_false(places[2].exceeds(1));
}

// A socket for both families shows IPv4 as ::ffff:0:0/96, which is all in one /64.
void test_enter_when_ipv4_is_mapped_then_counted_as_ipv4(void** /*state*/) {
    assert_int_equal(together("::ffff:192.0.2.1", "::ffff:192.0.2.2"), 1);
    assert_int_equal(together("::ffff:192.0.2.1", "192.0.2.1"), 2);
    assert_int_equal(together("::ffff:192.0.2.1", "::1"), 1);
    assert_int_equal(together("0.0.0.0", "::"), 1);
}

// L48: what a connection holds ends with it, wherever it was moved to.
void test_place_when_it_ends_then_counted_no_more(void** /*state*/) {
    AddressCounts counts{8};
    {
        AddressCounts::Place first = counts.enter(from("192.0.2.1"), near);
        const AddressCounts::Place moved{std::move(first)};
        assert_false(bool{first}); // NOLINT(bugprone-use-after-move): what a move leaves
        assert_int_equal(moved.count(), 1);
        {
            const AddressCounts::Place second = counts.enter(from("192.0.2.1"), near);
            assert_int_equal(moved.count(), 2);
        }
        assert_int_equal(moved.count(), 1);
        assert_int_equal(counts.sources(), 1);
    }
    assert_int_equal(counts.sources(), 0);
    assert_int_equal(counts.enter(from("192.0.2.1"), near).count(), 1);
}

// The table is as large as it was made, whoever comes, and serves those it knows.
void test_enter_when_the_table_is_full_then_no_place_for_another_source(void** /*state*/) {
    AddressCounts counts{2};
    std::vector<AddressCounts::Place> places;
    places.push_back(counts.enter(from("192.0.2.1"), far)); // takes two: one is its network's
    places.push_back(counts.enter(from("192.0.2.2"), far));
    places.push_back(counts.enter(from("192.0.2.3"), far));
    assert_false(bool{counts.enter(from("192.0.2.4"), far)});
    assert_false(bool{counts.enter(from("192.168.0.1"), near)});
    assert_int_equal(counts.enter(from("192.0.2.2"), far).count(), 2);
    places.pop_back();
    assert_false(bool{counts.enter(from("198.51.100.1"), far)}); // there is room for one of two
    assert_int_equal(counts.sources(), 3);
    assert_true(bool{counts.enter(from("192.0.2.4"), far)});
}

// Many addresses, in buckets that some of them share, leaving in another order than they came in.
void test_enter_when_many_come_and_go_then_each_has_its_own_count(void** /*state*/) {
    constexpr std::size_t addresses = 1000;
    AddressCounts counts{addresses};
    std::vector<AddressCounts::Place> places;
    for (std::size_t round = 1; round <= 3; ++round) {
        for (std::size_t i = 0; i < addresses; ++i) {
            const std::string literal =
                "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250);
            places.push_back(counts.enter(from(literal), near));
            assert_int_equal(places.back().count(), round);
        }
    }
    assert_int_equal(counts.sources(), addresses);
    while (places.size() > addresses) {
        places.pop_back();
    }
    for (const AddressCounts::Place& place : places) {
        assert_int_equal(place.count(), 1);
    }
    places.clear();
    assert_int_equal(counts.sources(), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_enter_when_ports_differ_then_counted_together),
        cmocka_unit_test(test_enter_when_ipv6_then_counted_by_64_bits),
        cmocka_unit_test(test_enter_when_ipv4_is_mapped_then_counted_as_ipv4),
        cmocka_unit_test(test_enter_when_near_then_counted_by_address),
        cmocka_unit_test(test_enter_when_far_then_its_network_is_counted_as_well),
        cmocka_unit_test(test_exceeds_when_more_than_is_left_then_so),
        cmocka_unit_test(test_place_when_it_ends_then_counted_no_more),
        cmocka_unit_test(test_enter_when_the_table_is_full_then_no_place_for_another_source),
        cmocka_unit_test(test_enter_when_many_come_and_go_then_each_has_its_own_count),
    };
    return cmocka_run_group_tests_name("relay/address_counts", tests, nullptr, nullptr);
}
