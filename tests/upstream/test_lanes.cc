// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/lanes.hh"

#include "unit.hh"
#include "upstream/failover.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>

using namespace dotproxy;

namespace {

/// Whether the lane holds exactly those, in that order, with sound links both ways.
bool holds(const Lane& lane, const std::deque<const Inquiry*>& wanted) {
    const Inquiry* previous = nullptr;
    const Inquiry* at = lane.first;
    for (const Inquiry* one : wanted) {
        if (at != one || !at->queued || at->queue_previous != previous) {
            return false;
        }
        previous = at;
        at = at->queue_next;
    }
    return at == nullptr && lane.last == previous && lane.queued == wanted.size();
}

void test_push_then_the_order_is_kept(void** /*state*/) {
    Lane lane;
    std::array<Inquiry, 3> inquiries;
    lane.push_front(inquiries[1]);
    lane.push_front(inquiries[0]);
    lane.push_back(inquiries[2]);
    assert_true(holds(lane, {&inquiries[0], &inquiries[1], &inquiries[2]}));
}

void test_remove_then_they_may_leave_in_any_order(void** /*state*/) {
    std::array<std::size_t, 4> order{0, 1, 2, 3};
    do {
        Lane lane;
        std::array<Inquiry, 4> inquiries;
        std::deque<const Inquiry*> here;
        for (Inquiry& inquiry : inquiries) {
            lane.push_back(inquiry);
            here.push_back(&inquiry);
        }
        for (const std::size_t leaving : order) {
            lane.remove(inquiries.at(leaving));
            assert_false(inquiries.at(leaving).queued);
            std::erase(here, &inquiries.at(leaving));
            assert_true(holds(lane, here));
        }
    } while (std::next_permutation(order.begin(), order.end()));
}

void test_lanes_then_they_know_how_many_wait_in_all(void** /*state*/) {
    Lanes lanes{3};
    std::array<Inquiry, 3> inquiries;
    inquiries[1].lane = 2;
    for (Inquiry& inquiry : inquiries) {
        lanes.push_back(inquiry);
    }
    assert_int_equal(lanes.queued(), 3);
    lanes.remove(inquiries[1]);
    assert_int_equal(lanes.queued(), 2);
    assert_null(lanes[2].first);
    inquiries[1].lane = 0;
    lanes.push_front(inquiries[1]);
    assert_int_equal(lanes.queued(), 3);
    assert_true(holds(lanes[0], {&inquiries[1], &inquiries[0], &inquiries[2]}));
}

void test_group_lane_then_the_next_one_when_large_and_the_smallest_of_all_large(void** /*state*/) {
    std::array<std::size_t, first_upstream_lane> loads{};
    const auto load = [&loads](unsigned lane) { return loads.at(lane); };
    for (unsigned lane = 1; lane < first_single_lane; ++lane) {
        assert_int_equal(group_lane(load), lane);
        loads.at(lane) = small_group - 1;
        assert_int_equal(group_lane(load), lane);
        loads.at(lane) = 100 - lane;
    }
    assert_int_equal(group_lane(load), first_single_lane - 1);
}

void test_single_lane_then_the_one_with_the_least_load(void** /*state*/) {
    std::array<std::size_t, first_upstream_lane> loads{};
    const auto load = [&loads](unsigned lane) { return loads.at(lane); };
    for (unsigned lane = first_single_lane; lane < first_upstream_lane; ++lane) {
        assert_int_equal(single_lane(load), lane);
        loads.at(lane) = 1;
    }
    assert_int_equal(single_lane(load), first_single_lane);
}

// Which upstream a lane asks, and with how many others a question travels in it.
void test_lanes_when_of_an_upstream_then_told_from_all_others(void** /*state*/) {
    for (unsigned lane = 0; lane < first_upstream_lane; ++lane) {
        assert_false(upstream_of(lane).has_value());
        assert_int_equal(is_single(lane), lane >= first_single_lane);
        assert_int_equal(is_side(lane), lane > 0);
    }
    for (unsigned rank = 0; rank < Failover::most_upstreams; ++rank) {
        for (const bool single : {false, true}) {
            const unsigned lane = upstream_lane(rank, single);
            assert_int_equal(upstream_of(lane).value(), rank);
            assert_int_equal(is_single(lane), single);
            assert_int_equal(is_side(lane), single);
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_push_then_the_order_is_kept),
        cmocka_unit_test(test_remove_then_they_may_leave_in_any_order),
        cmocka_unit_test(
            test_group_lane_then_the_next_one_when_large_and_the_smallest_of_all_large),
        cmocka_unit_test(test_single_lane_then_the_one_with_the_least_load),
        cmocka_unit_test(test_lanes_then_they_know_how_many_wait_in_all),
        cmocka_unit_test(test_lanes_when_of_an_upstream_then_told_from_all_others),
    };
    return cmocka_run_group_tests_name("upstream/lanes", tests, nullptr, nullptr);
}
