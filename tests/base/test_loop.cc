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
using dotproxy::Watching;

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
    Watching watching = loop.add(pair.near.get(), EPOLLIN, recorder);
    assert_true(static_cast<bool>(watching));
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
    std::array<Watching, 3> places;
    TimePoint now;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        places.at(i) = loop.add(pairs.at(i).near.get(), EPOLLIN, recorders.at(i));
        assert_true(static_cast<bool>(places.at(i)));
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
    const Watching watching = loop.add(pair.near.get(), 0, recorder);
    assert_true(static_cast<bool>(watching));
    pair.far.reset();
    loop.wait_and_dispatch(TimePoint::max(), now);
    assert_int_equal(recorder.seen & EPOLLHUP, EPOLLHUP);
}

void test_modify_then_the_new_events_count(void** /*state*/) {
    Loop loop;
    Pair pair;
    Recorder recorder;
    TimePoint now;
    Watching watching = loop.add(pair.near.get(), EPOLLIN, recorder);
    assert_true(static_cast<bool>(watching));
    watching.modify(EPOLLOUT);
    loop.wait_and_dispatch(TimePoint::max(), now);
    assert_int_equal(recorder.seen, EPOLLOUT);
}

void test_end_then_silence(void** /*state*/) {
    Loop loop;
    Pair pair;
    Recorder recorder;
    TimePoint now;
    Watching watching = loop.add(pair.near.get(), EPOLLIN, recorder);
    assert_true(static_cast<bool>(watching));
    send_octet(pair.far);
    watching.end();
    loop.wait_and_dispatch(past, now);
    assert_int_equal(recorder.calls, 0);
}

/// Ends another's place when it is told.
struct Ender final : Watch {
    void on_ready(std::uint32_t /*events*/) noexcept override {
        ++calls;
        other->end();
    }

    Watching* other{nullptr};
    int calls{0};
};

// Both were ready when the loop looked, and whoever comes first ends the other, which may be freed.
void test_end_when_reported_already_then_silence(void** /*state*/) {
    Loop loop;
    std::array<Pair, 2> pairs;
    std::array<Ender, 2> enders;
    std::array<Watching, 2> places;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        places.at(i) = loop.add(pairs.at(i).near.get(), EPOLLIN, enders.at(i));
        enders.at(i).other = &places.at(1 - i);
        send_octet(pairs.at(i).far);
    }
    TimePoint now;
    loop.wait_and_dispatch(TimePoint::max(), now);
    assert_int_equal(enders[0].calls + enders[1].calls, 1);
}

/// Gives the descriptor of another place to somebody new when it is told.
struct Replacer final : Watch {
    void on_ready(std::uint32_t /*events*/) noexcept override {
        ++calls;
        *place = Watching{};
        *place = loop->add(fd, EPOLLIN, *successor);
    }

    Loop* loop{nullptr};
    Watching* place{nullptr};
    Watch* successor{nullptr};
    int fd{-1};
    int calls{0};
};

// What was reported for who had the number before is not told to who has it now.
void test_add_when_an_older_event_is_reported_then_the_new_one_hears_nothing(void** /*state*/) {
    Loop loop;
    std::array<Pair, 2> pairs;
    std::array<Replacer, 2> replacers;
    std::array<Watching, 2> places;
    Recorder successor;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        places.at(i) = loop.add(pairs.at(i).near.get(), EPOLLIN, replacers.at(i));
        replacers.at(i).loop = &loop;
        replacers.at(i).place = &places.at(1 - i);
        replacers.at(i).fd = pairs.at(1 - i).near.get();
        replacers.at(i).successor = &successor;
        send_octet(pairs.at(i).far);
    }
    TimePoint now;
    loop.wait_and_dispatch(TimePoint::max(), now);
    assert_int_equal(replacers[0].calls + replacers[1].calls, 1);
    assert_int_equal(successor.calls, 0);
}

// As after a hand-over: another process has the same socket open, here another descriptor.
void test_watching_when_closed_while_open_elsewhere_then_silence(void** /*state*/) {
    Loop loop;
    Pair pair;
    Recorder recorder;
    const Fd elsewhere{::dup(pair.near.get())};
    assert_true(static_cast<bool>(elsewhere));
    {
        const Fd socket = std::move(pair.near);
        const Watching watching = loop.add(socket.get(), EPOLLIN, recorder);
        assert_true(static_cast<bool>(watching));
    }
    send_octet(pair.far);
    TimePoint now;
    loop.wait_and_dispatch(past, now);
    assert_int_equal(recorder.calls, 0);
}

void test_add_when_not_a_descriptor_then_false(void** /*state*/) {
    Loop loop;
    Recorder recorder;
    assert_false(static_cast<bool>(loop.add(-1, EPOLLIN, recorder)));
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
        cmocka_unit_test(test_end_then_silence),
        cmocka_unit_test(test_end_when_reported_already_then_silence),
        cmocka_unit_test(test_add_when_an_older_event_is_reported_then_the_new_one_hears_nothing),
        cmocka_unit_test(test_watching_when_closed_while_open_elsewhere_then_silence),
        cmocka_unit_test(test_add_when_not_a_descriptor_then_false),
        cmocka_unit_test(test_wait_when_nothing_happens_then_not_back_before_the_deadline),
        cmocka_unit_test(test_wait_when_deadline_has_passed_then_back_at_once_with_the_time),
    };
    return cmocka_run_group_tests_name("base/loop", tests, nullptr, nullptr);
}
