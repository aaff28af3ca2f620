// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/address_counts.hh"

#include "unit.hh"

#include <optional>
#include <string>
#include <vector>

using dotproxy::Address;
using dotproxy::AddressCounts;

namespace {

std::optional<Address> from(const char* literal, std::uint16_t port = 40000) {
    return Address::parse(literal, port);
}

/// How many places two addresses have after each took one.
std::uint32_t together(const char* first, const char* second) {
    AddressCounts counts{8};
    const AddressCounts::Place one = counts.enter(from(first));
    const AddressCounts::Place two = counts.enter(from(second, 50000));
    assert_true(bool{one} && bool{two});
    return two.count();
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

// A socket for both families shows IPv4 as ::ffff:0:0/96, which is all in one /64.
void test_enter_when_ipv4_is_mapped_then_counted_as_ipv4(void** /*state*/) {
    assert_int_equal(together("::ffff:192.0.2.1", "::ffff:192.0.2.2"), 1);
    assert_int_equal(together("::ffff:192.0.2.1", "192.0.2.1"), 2);
    assert_int_equal(together("::ffff:192.0.2.1", "::1"), 1);
    assert_int_equal(together("0.0.0.0", "::"), 1);
}

void test_enter_when_the_address_is_not_known_then_counted_together(void** /*state*/) {
    AddressCounts counts{8};
    const AddressCounts::Place known = counts.enter(from("::"));
    const AddressCounts::Place one = counts.enter(std::nullopt);
    const AddressCounts::Place two = counts.enter(std::nullopt);
    assert_int_equal(known.count(), 1);
    assert_int_equal(two.count(), 2);
}

// L48: what a connection holds ends with it, wherever it was moved to.
void test_place_when_it_ends_then_counted_no_more(void** /*state*/) {
    AddressCounts counts{8};
    {
        AddressCounts::Place first = counts.enter(from("192.0.2.1"));
        const AddressCounts::Place moved{std::move(first)};
        assert_false(bool{first}); // NOLINT(bugprone-use-after-move): what a move leaves
        assert_int_equal(moved.count(), 1);
        {
            const AddressCounts::Place second = counts.enter(from("192.0.2.1"));
            assert_int_equal(moved.count(), 2);
        }
        assert_int_equal(moved.count(), 1);
        assert_int_equal(counts.addresses(), 1);
    }
    assert_int_equal(counts.addresses(), 0);
    assert_int_equal(counts.enter(from("192.0.2.1")).count(), 1);
}

// The table is as large as it was made, whoever comes, and serves those it knows.
void test_enter_when_the_table_is_full_then_no_place_for_another_address(void** /*state*/) {
    AddressCounts counts{2};
    std::vector<AddressCounts::Place> places;
    places.push_back(counts.enter(from("192.0.2.1")));
    places.push_back(counts.enter(from("192.0.2.2")));
    assert_false(bool{counts.enter(from("192.0.2.3"))});
    assert_int_equal(counts.enter(from("192.0.2.2")).count(), 2);
    places.pop_back();
    assert_true(bool{counts.enter(from("192.0.2.3"))});
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
            places.push_back(counts.enter(from(literal.c_str())));
            assert_int_equal(places.back().count(), round);
        }
    }
    assert_int_equal(counts.addresses(), addresses);
    while (places.size() > addresses) {
        places.pop_back();
    }
    for (const AddressCounts::Place& place : places) {
        assert_int_equal(place.count(), 1);
    }
    places.clear();
    assert_int_equal(counts.addresses(), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_enter_when_ports_differ_then_counted_together),
        cmocka_unit_test(test_enter_when_ipv6_then_counted_by_64_bits),
        cmocka_unit_test(test_enter_when_ipv4_is_mapped_then_counted_as_ipv4),
        cmocka_unit_test(test_enter_when_the_address_is_not_known_then_counted_together),
        cmocka_unit_test(test_place_when_it_ends_then_counted_no_more),
        cmocka_unit_test(test_enter_when_the_table_is_full_then_no_place_for_another_address),
        cmocka_unit_test(test_enter_when_many_come_and_go_then_each_has_its_own_count),
    };
    return cmocka_run_group_tests_name("relay/address_counts", tests, nullptr, nullptr);
}
