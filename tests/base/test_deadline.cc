// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/deadline.hh"

#include "unit.hh"

#include <array>

using dotproxy::Deadline;
using dotproxy::DeadlineQueue;
using dotproxy::Milliseconds;
using dotproxy::TimePoint;

namespace {

struct Item : Deadline {};

constexpr TimePoint start{Milliseconds{1000}};

TimePoint after(int ms) noexcept {
    return start + Milliseconds{ms};
}

void test_pop_when_nothing_is_armed_then_null(void** /*state*/) {
    DeadlineQueue<Item> queue{Milliseconds{10}};
    assert_true(queue.empty());
    assert_null(queue.pop(TimePoint::max()));
}

void test_pop_when_due_then_the_item_once(void** /*state*/) {
    DeadlineQueue<Item> queue{Milliseconds{10}};
    Item item;
    queue.arm(item, start);
    assert_true(item.armed());
    assert_true(item.at() == after(10));
    assert_null(queue.pop(after(9)));
    assert_ptr_equal(queue.pop(after(10)), &item);
    assert_false(item.armed());
    assert_true(queue.empty());
    assert_null(queue.pop(after(10)));
}

void test_pop_when_several_are_due_then_in_the_order_of_arming(void** /*state*/) {
    DeadlineQueue<Item> queue{Milliseconds{10}};
    std::array<Item, 3> items;
    for (Item& item : items) {
        queue.arm(item, start);
    }
    for (Item& item : items) {
        assert_ptr_equal(queue.pop(after(10)), &item);
    }
}

void test_arm_when_armed_then_it_starts_again(void** /*state*/) {
    DeadlineQueue<Item> queue{Milliseconds{10}};
    Item first;
    Item second;
    queue.arm(first, start);
    queue.arm(second, after(1));
    queue.arm(first, after(5));
    assert_ptr_equal(queue.pop(after(11)), &second);
    assert_null(queue.pop(after(14)));
    assert_ptr_equal(queue.pop(after(15)), &first);
}

void test_arm_when_armed_elsewhere_then_it_moves(void** /*state*/) {
    DeadlineQueue<Item> brief{Milliseconds{10}};
    DeadlineQueue<Item> lasting{Milliseconds{100}};
    Item item;
    brief.arm(item, start);
    lasting.arm(item, start);
    assert_true(brief.empty());
    assert_null(brief.pop(after(1000)));
    assert_ptr_equal(lasting.pop(after(100)), &item);
}

void test_disarm_when_in_the_middle_then_the_others_stay(void** /*state*/) {
    DeadlineQueue<Item> queue{Milliseconds{10}};
    std::array<Item, 3> items;
    for (Item& item : items) {
        queue.arm(item, start);
    }
    items[1].disarm();
    items[1].disarm();
    assert_ptr_equal(queue.pop(after(10)), &items[0]);
    assert_ptr_equal(queue.pop(after(10)), &items[2]);
    assert_true(queue.empty());
}

void test_item_when_destroyed_then_it_has_left_the_queue(void** /*state*/) {
    DeadlineQueue<Item> queue{Milliseconds{10}};
    {
        Item item;
        queue.arm(item, start);
    }
    assert_true(queue.empty());
    assert_null(queue.pop(after(10)));
}

void test_soonest_then_never_raises(void** /*state*/) {
    DeadlineQueue<Item> queue{Milliseconds{10}};
    TimePoint earliest = TimePoint::max();
    queue.soonest(earliest);
    assert_true(earliest == TimePoint::max());
    Item item;
    queue.arm(item, start);
    queue.soonest(earliest);
    assert_true(earliest == after(10));
    earliest = after(3);
    queue.soonest(earliest);
    assert_true(earliest == after(3));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_pop_when_nothing_is_armed_then_null),
        cmocka_unit_test(test_pop_when_due_then_the_item_once),
        cmocka_unit_test(test_pop_when_several_are_due_then_in_the_order_of_arming),
        cmocka_unit_test(test_arm_when_armed_then_it_starts_again),
        cmocka_unit_test(test_arm_when_armed_elsewhere_then_it_moves),
        cmocka_unit_test(test_disarm_when_in_the_middle_then_the_others_stay),
        cmocka_unit_test(test_item_when_destroyed_then_it_has_left_the_queue),
        cmocka_unit_test(test_soonest_then_never_raises),
    };
    return cmocka_run_group_tests_name("base/deadline", tests, nullptr, nullptr);
}
