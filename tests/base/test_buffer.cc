// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/buffer.hh"

#include "unit.hh"

#include <array>

using dotproxy::Buffer;

namespace {

constexpr std::array<std::uint8_t, 5> hello{'h', 'e', 'l', 'l', 'o'};

void test_append_then_view_has_all_in_order(void** /*state*/) {
    Buffer buffer;
    assert_true(buffer.empty());
    buffer.append(hello);
    buffer.append(hello);
    assert_int_equal(buffer.size(), 10);
    assert_memory_equal(buffer.view().data(), "hellohello", 10);
}

void test_consume_then_the_rest_stays(void** /*state*/) {
    Buffer buffer;
    buffer.append(hello);
    buffer.consume(2);
    assert_int_equal(buffer.size(), 3);
    assert_memory_equal(buffer.view().data(), "llo", 3);
    buffer.append(hello);
    assert_memory_equal(buffer.view().data(), "llohello", 8);
    buffer.consume(8);
    assert_true(buffer.empty());
}

// The octets move to the front once enough were taken; what a reader sees must not change.
void test_consume_when_the_front_is_given_back_then_the_rest_stays(void** /*state*/) {
    Buffer buffer;
    for (unsigned i = 0; i < 100000; ++i) {
        const std::array<std::uint8_t, 2> number{static_cast<std::uint8_t>(i >> 8U & 0xffU),
                                                 static_cast<std::uint8_t>(i & 0xffU)};
        buffer.append(number);
    }
    for (unsigned i = 0; i < 100000; ++i) {
        assert_int_equal(buffer.size(), (100000 - i) * 2);
        assert_int_equal(buffer.view()[0], i >> 8U & 0xffU);
        assert_int_equal(buffer.view()[1], i & 0xffU);
        buffer.consume(2);
    }
    assert_true(buffer.empty());
}

void test_grow_then_trim_leaves_what_was_written(void** /*state*/) {
    Buffer buffer;
    buffer.append(hello);
    buffer.consume(4);
    const auto place = buffer.grow(8);
    assert_int_equal(place.size(), 8);
    place[0] = 'x';
    place[1] = 'y';
    buffer.trim(6);
    assert_int_equal(buffer.size(), 3);
    assert_memory_equal(buffer.view().data(), "oxy", 3);
}

void test_clear_then_empty_and_usable(void** /*state*/) {
    Buffer buffer;
    buffer.append(hello);
    buffer.clear();
    assert_true(buffer.empty());
    assert_int_equal(buffer.view().size(), 0);
    buffer.append(hello);
    assert_int_equal(buffer.size(), 5);
}

void test_release_when_not_empty_then_nothing_is_lost(void** /*state*/) {
    Buffer buffer;
    buffer.append(hello);
    buffer.release();
    assert_int_equal(buffer.size(), 5);
    buffer.clear();
    buffer.release();
    assert_true(buffer.empty());
    buffer.append(hello);
    assert_memory_equal(buffer.view().data(), "hello", 5);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_append_then_view_has_all_in_order),
        cmocka_unit_test(test_consume_then_the_rest_stays),
        cmocka_unit_test(test_consume_when_the_front_is_given_back_then_the_rest_stays),
        cmocka_unit_test(test_grow_then_trim_leaves_what_was_written),
        cmocka_unit_test(test_clear_then_empty_and_usable),
        cmocka_unit_test(test_release_when_not_empty_then_nothing_is_lost),
    };
    return cmocka_run_group_tests_name("base/buffer", tests, nullptr, nullptr);
}
