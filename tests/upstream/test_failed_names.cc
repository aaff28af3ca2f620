// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/failed_names.hh"

#include "unit.hh"

#include <algorithm>
#include <cstdint>

using namespace std::chrono_literals;
using dotproxy::FailedNames;
using dotproxy::TimePoint;
using dotproxy::dns::Name;
using Check = FailedNames::Check;

namespace {

/// "\3foo\0", with a number in place of foo.
Name name(std::uint32_t number) {
    Name made;
    made.size = 6;
    made.octets = {4,
                   static_cast<std::uint8_t>(number >> 24U),
                   static_cast<std::uint8_t>(number >> 16U),
                   static_cast<std::uint8_t>(number >> 8U),
                   static_cast<std::uint8_t>(number),
                   0};
    return made;
}

const TimePoint start = TimePoint{} + 1h;

void test_answered_by_when_noted_then_known_for_a_minute(void** /*state*/) {
    FailedNames names;
    assert_false(names.answered_by(name(1), start).has_value());
    names.note_answer(name(1), 2, start);
    assert_int_equal(names.answered_by(name(1), start).value(), 2);
    assert_false(names.answered_by(name(2), start).has_value());
    assert_int_equal(names.answered_by(name(1), start + FailedNames::lately - 1ns).value(), 2);
    assert_false(names.answered_by(name(1), start + FailedNames::lately).has_value());
}

void test_checked_when_noted_then_of_that_upstream_alone(void** /*state*/) {
    FailedNames names;
    assert_true(names.checked(name(1), 0, start) == Check::unknown);
    names.note_check(name(1), 1, Check::bogus, start);
    names.note_check(name(2), 0, Check::failed, start);
    assert_true(names.checked(name(1), 0, start) == Check::unknown);
    assert_true(names.checked(name(1), 1, start) == Check::bogus);
    assert_true(names.checked(name(2), 0, start) == Check::failed);
    assert_true(names.checked(name(1), 1, start + FailedNames::lately) == Check::unknown);
    assert_false(names.answered_by(name(1), start).has_value());
}

void test_note_when_both_then_both_are_known(void** /*state*/) {
    FailedNames names;
    names.note_check(name(1), 0, Check::failed, start);
    names.note_answer(name(1), 1, start + 1s);
    assert_true(names.checked(name(1), 0, start + 1s) == Check::failed);
    assert_int_equal(names.answered_by(name(1), start + 1s).value(), 1);
    // What is over does not come back with what is new.
    const TimePoint later = start + 1s + FailedNames::lately;
    names.note_check(name(1), 0, Check::bogus, later);
    assert_false(names.answered_by(name(1), later).has_value());
}

void test_forget_then_unknown(void** /*state*/) {
    FailedNames names;
    names.forget(name(1));
    names.note_answer(name(1), 1, start);
    names.forget(name(2));
    assert_true(names.answered_by(name(1), start).has_value());
    names.forget(name(1));
    assert_false(names.answered_by(name(1), start).has_value());
}

// However many there are, each says what was noted of it or nothing.
void test_note_when_too_many_then_some_make_way(void** /*state*/) {
    FailedNames names;
    constexpr std::uint32_t many = 5000;
    for (std::uint32_t i = 0; i < many; ++i) {
        names.note_answer(name(i), i % 7, start);
    }
    std::uint32_t known = 0;
    for (std::uint32_t i = 0; i < many; ++i) {
        if (const auto rank = names.answered_by(name(i), start)) {
            assert_int_equal(*rank, i % 7);
            ++known;
        }
    }
    assert_in_range(known, 900, 1024);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_answered_by_when_noted_then_known_for_a_minute),
        cmocka_unit_test(test_checked_when_noted_then_of_that_upstream_alone),
        cmocka_unit_test(test_note_when_both_then_both_are_known),
        cmocka_unit_test(test_forget_then_unknown),
        cmocka_unit_test(test_note_when_too_many_then_some_make_way),
    };
    return cmocka_run_group_tests_name("upstream/failed_names", tests, nullptr, nullptr);
}
