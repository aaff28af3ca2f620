// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The store of tickets: each once, the newest first, never more than a few (C71, L58).

#include "tls/tickets.hh"

#include "unit.hh"

#include <array>
#include <malloc.h>

using dotproxy::tls::lifetime_is_sound;
using dotproxy::tls::Tickets;

namespace {

void test_take_from_empty_store_gives_nothing(void** /*state*/) {
    Tickets tickets;
    assert_true(tickets.take().empty());
    assert_int_equal(tickets.size(), 0);
}

void test_take_gives_each_once_newest_first(void** /*state*/) {
    Tickets tickets;
    tickets.put({1});
    tickets.put({2, 2});
    assert_int_equal(tickets.size(), 2);
    assert_true((tickets.take() == std::vector<std::uint8_t>{2, 2}));
    assert_true((tickets.take() == std::vector<std::uint8_t>{1}));
    assert_true(tickets.take().empty());
    tickets.put({3});
    assert_true((tickets.take() == std::vector<std::uint8_t>{3}));
    assert_int_equal(tickets.size(), 0);
}

void test_put_to_full_store_drops_the_oldest(void** /*state*/) {
    Tickets tickets;
    for (std::uint8_t i = 0; i < Tickets::capacity + 2; ++i) {
        tickets.put({i});
    }
    assert_int_equal(tickets.size(), Tickets::capacity);
    for (std::size_t i = Tickets::capacity + 2; i > 2; --i) {
        assert_int_equal(tickets.take().at(0), i - 1);
    }
    assert_true(tickets.take().empty());
}

void test_clear_leaves_nothing(void** /*state*/) {
    Tickets tickets;
    tickets.put({1});
    tickets.clear();
    assert_int_equal(tickets.size(), 0);
    assert_true(tickets.take().empty());
}

// L58. mallinfo2() sees nothing under a sanitizer, which looks for leaks by itself.
void test_put_for_ever_keeps_memory_flat(void** /*state*/) {
    Tickets tickets;
    const auto put_many = [&tickets](int count) {
        for (int i = 0; i < count; ++i) {
            tickets.put(std::vector<std::uint8_t>(1000, static_cast<std::uint8_t>(i)));
        }
        return mallinfo2().uordblks;
    };
    const std::size_t before = put_many(100);
    const std::size_t after = put_many(100000);
    assert_true(after <= before + 4096);
    assert_int_equal(tickets.size(), Tickets::capacity);
}

void test_lifetime_outside_a_week_is_not_sound(void** /*state*/) {
    using Message = std::array<std::uint8_t, 5>;
    assert_true(lifetime_is_sound(Message{0, 0, 0, 1}));
    assert_true(lifetime_is_sound(Message{0x00, 0x09, 0x3a, 0x80})); // 604800
    assert_false(lifetime_is_sound(Message{0x00, 0x09, 0x3a, 0x81}));
    assert_false(lifetime_is_sound(Message{0xff, 0xff, 0xff, 0xff}));
    assert_false(lifetime_is_sound(Message{0, 0, 0, 0, 9}));
    assert_false(lifetime_is_sound(std::array<std::uint8_t, 3>{0, 0, 1}));
    assert_false(lifetime_is_sound({}));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_take_from_empty_store_gives_nothing),
        cmocka_unit_test(test_take_gives_each_once_newest_first),
        cmocka_unit_test(test_put_to_full_store_drops_the_oldest),
        cmocka_unit_test(test_clear_leaves_nothing),
        cmocka_unit_test(test_put_for_ever_keeps_memory_flat),
        cmocka_unit_test(test_lifetime_outside_a_week_is_not_sound),
    };
    return cmocka_run_group_tests_name("tls/tickets", tests, nullptr, nullptr);
}
