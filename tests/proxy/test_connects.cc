// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// How often upstreams are connected to, and when a connection makes way for the next one.

#include "proxy/rig.hh"
#include "proxy/rig_names.hh"
#include "proxy/upstreams.hh"
#include "unit.hh"

#include <string>
#include <utility>

using namespace std::chrono_literals;
using dotproxy::Clock;
using dotproxy::Slots;
using dotproxy::dns::test::Bytes;

namespace {

constexpr unsigned noerror = 0;

// What an endpoint may have in a second and in the burst before it.
constexpr std::uint64_t burst = 50;
constexpr std::uint64_t rate = 25;

/// Answers the first query of each connection and closes it.
void answer_and_close(Resolver& resolver) {
    for (const Asked& one : resolver.asked) {
        if (resolver.is_open(one.session)) {
            resolver.answer(one);
            resolver.close(one.session);
        }
    }
    resolver.asked.clear();
}

// A server that closes after each answer, and all of a page at once: the answer of one comes before
// the end of the connection is seen, and no question loses all its sends to that.
void test_close_when_seen_late_after_each_answer_then_nothing_is_lost(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    constexpr int count = 40;
    const UdpClient client{rig.udp_address()};
    for (int i = 0; i < count; ++i) {
        client.send(query("n" + std::to_string(i) + ".example", static_cast<std::uint16_t>(i)));
    }
    int good = 0;
    for (int i = 0; i < 600 && good < count; ++i) {
        rig.pass(5ms);
        const auto asked = std::exchange(resolver.asked, {});
        for (const Asked& one : asked) {
            if (resolver.is_open(one.session)) {
                resolver.answer(one);
                rig.step(); // the worker has the answer, and may ask more
                resolver.close(one.session);
            }
        }
        for (Message answer = client.receive(); !answer.empty(); answer = client.receive()) {
            good += rcode(answer) == noerror ? 1 : 0;
        }
    }
    assert_int_equal(good, count);
    assert_int_equal(rig.count(Counter::failures), 0);
}

/// Asks at a steady pace for a while; how many were answered well, waiting for all of them.
int ask_steadily(Rig& rig, Resolver& resolver, int count, Clock::duration pace) {
    const UdpClient client{rig.udp_address()};
    int good = 0;
    const auto collect = [&] {
        for (Message answer = client.receive(); !answer.empty(); answer = client.receive()) {
            good += rcode(answer) == noerror ? 1 : 0;
        }
    };
    for (int i = 0; i < count; ++i) {
        client.send(query("n" + std::to_string(i) + ".example", static_cast<std::uint16_t>(i)));
        for (int steps = 0; steps < 2; ++steps) {
            rig.step();
            answer_and_close(resolver);
        }
        rig.pass(pace);
        collect();
    }
    for (int i = 0; i < 600 && !rig.relay().idle(); ++i) {
        rig.pass(10ms);
        answer_and_close(resolver);
        collect();
    }
    for (int i = 0; i < 5; ++i) {
        rig.step();
        collect();
    }
    return good;
}

// L35: five hundred questions a second are not five hundred handshakes.
void test_close_when_after_each_answer_then_connects_are_bounded(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    constexpr std::uint64_t seconds = 2;
    const int good = ask_steadily(rig, resolver, 500 * seconds, 2ms);
    // Until the last of the questions has been given up.
    const std::uint64_t connects = rig.count(Counter::upstream_connects);
    assert_in_range(connects, rate * seconds, burst + (seconds + 5) * rate * 4 / 3 + 5);
    assert_true(static_cast<std::uint64_t>(good) >= rate * seconds);
}

// A burst such as a page makes, and a person's pace: everything is answered.
void test_close_when_after_each_answer_and_a_persons_pace_then_nothing_is_lost(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    assert_int_equal(ask_steadily(rig, resolver, 60, 1ms), 60);
    rig.pass(2s);
    assert_int_equal(ask_steadily(rig, resolver, 200, 50ms), 200);
    assert_int_equal(rig.count(Counter::failures), 0);
}

// What one upstream may not be asked for, another one is.
void test_close_when_after_each_answer_and_another_serves_then_nothing_is_lost(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    rig.add_upstream();
    first.answers = false;
    rig.open();
    assert_int_equal(ask_steadily(rig, first, 500, 2ms), 500);
    assert_int_equal(rig.count(Counter::failures), 0);
}

// RFC 7766, section 6.2.3: a server may close after some queries; it is connected to as often as it
// does that.
void test_close_when_after_some_answers_then_nobody_waits(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    rig.open();
    for (int i = 0; i < 1000; ++i) {
        assert_int_equal(rcode(rig.resolve("n" + std::to_string(i) + ".example")), noerror);
        if (i % 5 == 4) {
            resolver.close(resolver.sessions() - 1);
            rig.step();
        }
    }
    assert_in_range(rig.count(Counter::upstream_connects), 200, 202); // all within no time
}

/// Says with the answer that no more is to be asked here.
void answer_the_last(Resolver& resolver) {
    const Asked one = resolver.take();
    auto message = right_answer(one);
    Bytes zero;
    zero.u16(0);
    Bytes option;
    option.option(11, zero.octets());
    message.opt(option.octets());
    resolver.send(one.session, message.octets());
}

// A connection that takes no more questions is no attempt: the next one need not wait for its turn
// in the race.
void test_retire_when_just_connected_then_the_next_question_does_not_wait(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    const UdpClient client{rig.udp_address()};
    for (std::uint16_t i = 0; i < 10; ++i) {
        client.send(query("n" + std::to_string(i) + ".example", i));
        assert_true(rig.until([&] { return !resolver.asked.empty(); })); // while no time passes
        assert_int_equal(resolver.asked[0].session, i);
        answer_the_last(resolver);
        assert_true(rig.until([&] { return !client.receive().empty(); }));
    }
    assert_int_equal(rig.count(Counter::failures), 0);
}

// C98, C99: IDs of questions that were never answered are not used again; with too many of them a
// connection is replaced, and the questions go on.
void test_forget_when_a_quarter_of_all_ids_then_a_new_connection(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    constexpr std::size_t lost = Slots::capacity / 4;
    const UdpClient client{rig.udp_address()};
    for (std::size_t i = 0; i < lost; ++i) {
        client.send(query("lost" + std::to_string(i) + ".example", 1));
        if (i % 32 == 31) {
            rig.step();
        }
    }
    assert_true(rig.until([&] { return resolver.asked.size() == lost; }));
    resolver.asked.clear();
    resolver.answers = true;
    for (int i = 0; i < 8; ++i) { // it lives, and answers others
        assert_int_equal(rcode(rig.resolve("good" + std::to_string(i) + ".example")), noerror);
        rig.pass(500ms);
    }
    assert_int_equal(resolver.sessions(), 1);
    rig.pass(1s); // by now their clients have given up
    assert_true(rig.relay().idle());
    assert_int_equal(rcode(rig.resolve("next.example")), noerror);
    assert_int_equal(resolver.sessions(), 2);
    assert_true(rig.until([&] { return !resolver.is_open(0); }));
    assert_true(resolver.left_in_order(0));
    assert_int_equal(rig.count(Counter::upstream_failed), 0);
}

// upstream_idle = "0s": no longer than it is needed.
void test_idle_when_no_time_is_given_then_closed_after_each_use(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.timeouts.upstream_idle = 0s;
    Resolver& resolver = rig.add_upstream();
    rig.open();
    for (std::size_t i = 0; i < 3; ++i) {
        assert_int_equal(rcode(rig.resolve("n" + std::to_string(i) + ".example")), noerror);
        assert_true(rig.until([&] { return !resolver.is_open(i); }));
        assert_true(resolver.left_in_order(i));
        assert_int_equal(resolver.sessions(), i + 1);
    }
    assert_int_equal(rig.count(Counter::upstream_failed), 0);
    resolver.answers = false;
    const UdpClient client{rig.udp_address()};
    client.send(query("slow.example", 1));
    client.send(query("slower.example", 2));
    assert_true(rig.until([&] { return resolver.asked.size() == 2; }));
    rig.pass(100ms);
    resolver.answer(resolver.take());
    assert_true(rig.until([&] { return !client.receive().empty(); }));
    assert_true(resolver.is_open(3)); // something is in flight still
    resolver.answer(resolver.take());
    assert_true(rig.until([&] { return !client.receive().empty(); }));
    assert_true(rig.until([&] { return !resolver.is_open(3); }));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_close_when_seen_late_after_each_answer_then_nothing_is_lost, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_close_when_after_each_answer_then_connects_are_bounded,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_close_when_after_each_answer_and_a_persons_pace_then_nothing_is_lost, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_close_when_after_each_answer_and_another_serves_then_nothing_is_lost, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_close_when_after_some_answers_then_nobody_waits,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_retire_when_just_connected_then_the_next_question_does_not_wait, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_forget_when_a_quarter_of_all_ids_then_a_new_connection,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_idle_when_no_time_is_given_then_closed_after_each_use,
                                        make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("proxy/connects", tests, make_world, free_world);
}
