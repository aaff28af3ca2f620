// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/inquiry.hh"

#include "unit.hh"
#include "upstream/connection.hh"

#include <array>
#include <cstddef>
#include <cstdint>

using dotproxy::Connection;
using dotproxy::Inquiry;
using dotproxy::max_sends;

namespace {

/// Stands for a connection where only its identity counts.
struct alignas(Connection) Somewhere {
    Connection& connection() noexcept { return *reinterpret_cast<Connection*>(octets.data()); }

    std::array<std::byte, sizeof(Connection)> octets{};
};

void test_places_then_in_flight_while_there_is_one(void** /*state*/) {
    Inquiry inquiry;
    std::array<Somewhere, max_sends> where;
    assert_false(inquiry.in_flight());
    std::uint16_t slot = 10;
    for (Somewhere& place : where) {
        inquiry.add_place(place.connection(), slot++);
    }
    inquiry.remove_place(where[1].connection());
    assert_null(inquiry.places[1].connection);
    assert_ptr_equal(inquiry.places[0].connection, &where[0].connection());
    assert_int_equal(inquiry.places[0].slot, 10);
    assert_ptr_equal(inquiry.places[2].connection, &where[2].connection());
    assert_int_equal(inquiry.places[2].slot, 12);
    inquiry.add_place(where[1].connection(), 20);
    assert_int_equal(inquiry.places[1].slot, 20);
    for (Somewhere& place : where) {
        assert_true(inquiry.in_flight());
        inquiry.remove_place(place.connection());
    }
    assert_false(inquiry.in_flight());
}

void test_remove_place_when_it_is_not_there_then_nothing(void** /*state*/) {
    Inquiry inquiry;
    std::array<Somewhere, 2> where;
    inquiry.add_place(where[0].connection(), 3);
    inquiry.remove_place(where[1].connection());
    assert_true(inquiry.in_flight());
}

// Asked of another upstream as well is what one connection has, while a send is left and nobody
// suspects it.
void test_only_place_then_not_of_a_suspect_nor_without_a_send(void** /*state*/) {
    Inquiry inquiry;
    std::array<Somewhere, 2> where;
    assert_null(inquiry.only_place());
    inquiry.add_place(where[0].connection(), 3);
    assert_ptr_equal(inquiry.only_place(), &where[0].connection());
    inquiry.add_place(where[1].connection(), 3);
    assert_null(inquiry.only_place());
    inquiry.remove_place(where[0].connection());
    assert_ptr_equal(inquiry.only_place(), &where[1].connection());
    inquiry.lane = 1;
    assert_null(inquiry.only_place());
    inquiry.lane = 0;
    inquiry.queued = true;
    assert_null(inquiry.only_place());
    inquiry.queued = false;
    inquiry.sends = max_sends;
    assert_null(inquiry.only_place());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_only_place_then_not_of_a_suspect_nor_without_a_send),
        cmocka_unit_test(test_places_then_in_flight_while_there_is_one),
        cmocka_unit_test(test_remove_place_when_it_is_not_there_then_nothing),
    };
    return cmocka_run_group_tests_name("upstream/inquiry", tests, nullptr, nullptr);
}
