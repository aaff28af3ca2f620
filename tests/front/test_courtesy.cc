// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/courtesy.hh"

#include "unit.hh"
#include "worker/clock.hh"

#include <algorithm>
#include <array>
#include <memory>
#include <sys/socket.h>

using namespace std::chrono_literals;
using dotproxy::Clock;
using dotproxy::Config;
using dotproxy::Counter;
using dotproxy::CounterLease;
using dotproxy::CounterRegion;
using dotproxy::Courtesy;
using dotproxy::Fd;
using dotproxy::TimePoint;
using dotproxy::Turn;
using dotproxy::Watch;
using dotproxy::test::set_clock;

namespace {

/// A socket on which something has come in, as a front sees it.
struct Door final : Watch {
    explicit Door(Courtesy& its_courtesy) : courtesy{its_courtesy} {
        std::array<int, 2> ends{-1, -1};
        assert_int_equal(
            ::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
        near.reset(ends[0]);
        far.reset(ends[1]);
        assert_true(courtesy.open(near.get(), *this));
    }

    void on_ready(std::uint32_t /*events*/) noexcept override {
        ++woken;
        if (!courtesy.step_back()) {
            std::array<char, 8> datagram{};
            taken += ::recv(near.get(), datagram.data(), datagram.size(), MSG_DONTWAIT) > 0 ? 1 : 0;
        }
    }

    void knock() const { assert_int_equal(::send(far.get(), "x", 1, 0), 1); }

    Courtesy& courtesy;
    Fd near;
    Fd far;
    int woken{0};
    int taken{0};
};

/// One worker of two.
struct Worker {
    void turn() {
        turn_.loop.wait_and_dispatch(TimePoint{}, turn_.now);
        courtesy.expire();
    }

    /// Moves to when the sockets come back, and brings them back.
    void come_back() {
        TimePoint earliest = TimePoint::max();
        courtesy.soonest(earliest);
        assert_true(earliest < TimePoint::max());
        set_clock(earliest);
        turn();
    }

    void pass(Clock::duration time) const { set_clock(turn_.now + time); }

    [[nodiscard]] bool is_away() const {
        TimePoint earliest = TimePoint::max();
        courtesy.soonest(earliest);
        return earliest != TimePoint::max();
    }

    void warm(unsigned slot, std::uint64_t connections) {
        counters.slot(slot).set(Counter::upstream_connections, connections);
    }

    Config config{};
    CounterRegion region{2};
    CounterLease counters{region.lease(2, {})};
    Turn turn_{config, counters.slot(0)};
    Courtesy courtesy{turn_, counters};
    Door door{courtesy};
};

int set_up(void** state) {
    *state = std::make_unique<Worker>().release();
    return 0;
}

int tear_down(void** state) {
    const std::unique_ptr<Worker> worker{static_cast<Worker*>(*state)};
    return 0;
}

void test_ready_when_nobody_has_a_connection_then_taken_at_once(void** state) {
    Worker& worker = *static_cast<Worker*>(*state);
    worker.door.knock();
    worker.turn();
    assert_int_equal(worker.door.taken, 1);
    assert_false(worker.is_away());
}

void test_ready_when_it_is_the_warm_one_then_taken_at_once(void** state) {
    Worker& worker = *static_cast<Worker*>(*state);
    worker.warm(0, 1);
    worker.warm(1, 1);
    worker.door.knock();
    worker.turn();
    assert_int_equal(worker.door.taken, 1);
}

void test_ready_when_only_another_is_warm_then_left_to_it_for_a_moment(void** state) {
    Worker& worker = *static_cast<Worker*>(*state);
    worker.warm(1, 1);
    worker.door.knock();
    worker.turn();
    assert_true(worker.is_away());
    const TimePoint left = worker.turn_.now;
    worker.turn();
    assert_int_equal(worker.door.woken, 1); // it does not spin on a socket that is ready
    worker.come_back();
    assert_true(worker.turn_.now > left);
    assert_true(worker.turn_.now - left <= 5ms);
    assert_int_equal(worker.door.taken, 0);
}

// The other one was only busy for a moment: what it left over stays its own the next time too.
void test_ready_when_the_other_took_it_then_left_again_the_next_time(void** state) {
    Worker& worker = *static_cast<Worker*>(*state);
    worker.warm(1, 1);
    for (int query = 0; query < 10; ++query) {
        worker.door.knock();
        worker.turn();
        assert_true(worker.is_away());
        char octet = 0;
        assert_int_equal(::recv(worker.door.near.get(), &octet, 1, 0), 1); // by the other worker
        worker.come_back();
        worker.pass(1ms);
        worker.turn();
    }
    assert_int_equal(worker.door.taken, 0);
}

void test_ready_when_at_each_return_then_the_third_is_taken(void** state) {
    Worker& worker = *static_cast<Worker*>(*state);
    worker.warm(1, 1);
    worker.door.knock();
    worker.turn();
    for (int back = 1; back <= 2; ++back) {
        worker.come_back();
        worker.turn();
        assert_int_equal(worker.door.taken, 0);
        assert_true(worker.is_away());
    }
    worker.come_back();
    worker.turn();
    assert_int_equal(worker.door.taken, 1); // the other one does not keep up
    assert_false(worker.is_away());
}

// A query that comes a little after the return found an idle worker: that says nothing.
void test_step_back_then_all_its_sockets_leave_and_come_back(void** state) {
    Worker& worker = *static_cast<Worker*>(*state);
    Door second{worker.courtesy};
    worker.warm(1, 1);
    worker.door.knock();
    worker.turn();
    second.knock();
    worker.turn();
    assert_int_equal(second.woken, 0);
    worker.warm(1, 0); // the other one's connection ended: this one serves
    worker.come_back();
    worker.turn();
    assert_int_equal(second.taken, 1);
    assert_int_equal(worker.door.taken, 1);
}

void test_open_when_away_then_it_comes_with_the_others(void** state) {
    Worker& worker = *static_cast<Worker*>(*state);
    worker.warm(1, 1);
    worker.door.knock();
    worker.turn();
    Door late{worker.courtesy};
    late.knock();
    worker.turn();
    assert_int_equal(late.woken, 0);
    worker.warm(1, 0);
    worker.come_back();
    worker.turn();
    assert_int_equal(late.taken, 1);
}

void test_close_when_away_then_it_does_not_come_back(void** state) {
    Worker& worker = *static_cast<Worker*>(*state);
    Door second{worker.courtesy};
    worker.warm(1, 1);
    worker.door.knock();
    second.knock();
    worker.turn();
    worker.courtesy.close(worker.door.near.get());
    worker.warm(1, 0);
    worker.come_back();
    worker.turn();
    assert_int_equal(worker.door.taken, 0);
    assert_int_equal(second.taken, 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ready_when_nobody_has_a_connection_then_taken_at_once,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ready_when_it_is_the_warm_one_then_taken_at_once,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_ready_when_only_another_is_warm_then_left_to_it_for_a_moment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_ready_when_the_other_took_it_then_left_again_the_next_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ready_when_at_each_return_then_the_third_is_taken,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_step_back_then_all_its_sockets_leave_and_come_back,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_open_when_away_then_it_comes_with_the_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_close_when_away_then_it_does_not_come_back, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("front/courtesy", tests, nullptr, nullptr);
}
