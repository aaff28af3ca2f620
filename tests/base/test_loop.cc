// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/loop.hh"

#include "unit.hh"

#include <array>
#include <sys/socket.h>
#include <unistd.h>

using dotproxy::Clock;
using dotproxy::Fd;
using dotproxy::Loop;
using dotproxy::Milliseconds;
using dotproxy::TimePoint;
using dotproxy::Watch;

namespace {

constexpr TimePoint past{};

/// Remembers what it was told.
struct Recorder final : Watch {
    void on_ready(std::uint32_t events) noexcept override {
        ++calls;
        seen = events;
    }

    int calls{0};
    std::uint32_t seen{0};
};

struct Pair {
    Pair() noexcept {
        std::array<int, 2> fds{-1, -1};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0) {
            near.reset(fds[0]);
            far.reset(fds[1]);
        }
    }

    Fd near;
    Fd far;
};

void send_octet(const Fd& fd) {
    assert_int_equal(::write(fd.get(), "x", 1), 1);
}

void test_wait_when_readable_then_told_until_it_is_read(void** /*state*/) {
    Loop loop;
    Pair pair;
    Recorder recorder;
    TimePoint now;
    assert_true(loop.add(pair.near.get(), EPOLLIN, recorder));
    loop.wait_and_dispatch(past, now);
    assert_int_equal(recorder.calls, 0);
    send_octet(pair.far);
    loop.wait_and_dispatch(TimePoint::max(), now);
    loop.wait_and_dispatch(TimePoint::max(), now); // level-triggered
    assert_int_equal(recorder.calls, 2);
    assert_int_equal(recorder.seen, EPOLLIN);
    char octet = 0;
    assert_int_equal(::read(pair.near.get(), &octet, 1), 1);
    loop.wait_and_dispatch(past, now);
    assert_int_equal(recorder.calls, 2);
}

void test_wait_when_several_are_ready_then_each_is_told_once(void** /*state*/) {
    Loop loop;
    std::array<Pair, 3> pairs;
    std::array<Recorder, 3> recorders;
    TimePoint now;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        assert_true(loop.add(pairs.at(i).near.get(), EPOLLIN, recorders.at(i)));
        send_octet(pairs.at(i).far);
    }
    loop.wait_and_dispatch(TimePoint::max(), now);
    for (const Recorder& recorder : recorders) {
        assert_int_equal(recorder.calls, 1);
    }
}

void test_wait_when_peer_is_gone_then_told(void** /*state*/) {
    Loop loop;
    Pair pair;
    Recorder recorder;
    TimePoint now;
    assert_true(loop.add(pair.near.get(), 0, recorder));
    pair.far.reset();
    loop.wait_and_dispatch(TimePoint::max(), now);
    assert_int_equal(recorder.seen & EPOLLHUP, EPOLLHUP);
}

void test_modify_then_the_new_events_count(void** /*state*/) {
    Loop loop;
    Pair pair;
    Recorder recorder;
    TimePoint now;
    assert_true(loop.add(pair.near.get(), EPOLLIN, recorder));
    loop.modify(pair.near.get(), EPOLLOUT, recorder);
    loop.wait_and_dispatch(TimePoint::max(), now);
    assert_int_equal(recorder.seen, EPOLLOUT);
}

void test_remove_then_silence(void** /*state*/) {
    Loop loop;
    Pair pair;
    Recorder recorder;
    TimePoint now;
    assert_true(loop.add(pair.near.get(), EPOLLIN, recorder));
    send_octet(pair.far);
    loop.remove(pair.near.get());
    loop.wait_and_dispatch(past, now);
    assert_int_equal(recorder.calls, 0);
}

void test_add_when_not_a_descriptor_then_false(void** /*state*/) {
    Loop loop;
    Recorder recorder;
    assert_false(loop.add(-1, EPOLLIN, recorder));
}

// A turn that began before its deadline would find nothing due and begin again at once.
void test_wait_when_nothing_happens_then_not_back_before_the_deadline(void** /*state*/) {
    Loop loop;
    TimePoint now;
    const TimePoint until = Clock::now() + std::chrono::microseconds{1500};
    loop.wait_and_dispatch(until, now);
    assert_true(now >= until);
}

void test_wait_when_deadline_has_passed_then_back_at_once_with_the_time(void** /*state*/) {
    Loop loop;
    const TimePoint before = Clock::now();
    TimePoint now;
    loop.wait_and_dispatch(before - Milliseconds{1}, now);
    assert_true(now >= before);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_when_readable_then_told_until_it_is_read),
        cmocka_unit_test(test_wait_when_several_are_ready_then_each_is_told_once),
        cmocka_unit_test(test_wait_when_peer_is_gone_then_told),
        cmocka_unit_test(test_modify_then_the_new_events_count),
        cmocka_unit_test(test_remove_then_silence),
        cmocka_unit_test(test_add_when_not_a_descriptor_then_false),
        cmocka_unit_test(test_wait_when_nothing_happens_then_not_back_before_the_deadline),
        cmocka_unit_test(test_wait_when_deadline_has_passed_then_back_at_once_with_the_time),
    };
    return cmocka_run_group_tests_name("base/loop", tests, nullptr, nullptr);
}
