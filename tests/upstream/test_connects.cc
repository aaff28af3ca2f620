// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// How often upstreams are connected to, and when a connection makes way for the next one.

#include "unit.hh"
#include "upstream/upstreams.hh"
#include "worker/rig.hh"
#include "worker/rig_names.hh"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
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
    assert_int_equal(rig.failures(), 0);
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
    const std::uint64_t connects = rig.count(UpstreamCounter::connects);
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
    assert_int_equal(rig.failures(), 0);
}

// What one upstream may not be asked for, another one is.
void test_close_when_after_each_answer_and_another_serves_then_nothing_is_lost(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    rig.add_upstream();
    first.answers = false;
    rig.open();
    assert_int_equal(ask_steadily(rig, first, 500, 2ms), 500);
    assert_int_equal(rig.failures(), 0);
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
    assert_in_range(rig.count(UpstreamCounter::connects), 200, 202); // all within no time
}

/// Takes the query for `name`, once it is there; fails the test when none comes.
Asked asked_for(Rig& rig, Resolver& resolver, std::string_view name) {
    const auto is_it = [name](const Asked& one) { return one.name == name; };
    auto found = resolver.asked.end();
    for (int i = 0; i < 20 && found == resolver.asked.end(); ++i) {
        rig.pass(5ms); // what a lane waits for, among others
        found = std::ranges::find_if(resolver.asked, is_it);
    }
    assert_true(found != resolver.asked.end());
    Asked one = *found;
    resolver.asked.erase(found);
    return one;
}

/// Two questions that have lost the connection which both were on, and are asked again together.
struct Pair {
    Pair(Rig& rig, Resolver& resolver, const std::string& number)
        : first{"first" + number + ".example"}, second{"second" + number + ".example"},
          client{rig.udp_address()} {
        client.send(query(first, 1));
        client.send(query(second, 2));
        const std::size_t lost = asked_for(rig, resolver, first).session;
        assert_int_equal(asked_for(rig, resolver, second).session, lost);
        resolver.close(lost);
    }

    std::string first;
    std::string second;
    UdpClient client;
};

void wait_for_answers(Rig& rig, const UdpClient& client, int count) {
    for (int i = 0; i < count; ++i) {
        assert_int_equal(rcode(answer_to(rig, client)), noerror);
    }
}

// C13, L34: a server closes each connection after two answers. Questions that were on two of them
// at their ends have one send left, which is not to meet the end of a third one.
void test_close_when_after_some_answers_then_the_last_send_goes_to_a_new_one(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    const Pair before{rig, resolver, "0"};
    const Asked one = asked_for(rig, resolver, before.first);
    const Asked two = asked_for(rig, resolver, before.second);
    assert_int_equal(one.session, two.session);
    resolver.answer(one);
    resolver.answer(two);
    wait_for_answers(rig, before.client, 2);

    const Pair now{rig, resolver, "1"};
    assert_int_equal(asked_for(rig, resolver, now.first).session, one.session);
    assert_int_equal(asked_for(rig, resolver, now.second).session, one.session);
    const std::size_t sessions = resolver.sessions();
    resolver.close(one.session); // it has no answer left
    const Asked first = asked_for(rig, resolver, now.first);
    const Asked second = asked_for(rig, resolver, now.second);
    assert_int_not_equal(first.session, second.session);
    assert_true(std::min(first.session, second.session) >= sessions);
    resolver.answer(first);
    resolver.answer(second);
    wait_for_answers(rig, now.client, 2);
    assert_int_equal(rig.failures(), 0);
}

// L32: with a silent peer each new connection must first answer a probe, and so has answered when
// the question gets it. The one after that needs no probe.
void test_silence_when_twice_then_the_last_send_is_made(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    const UdpClient client{rig.udp_address()};
    client.send(query("a.example", 1));
    assert_int_equal(asked_for(rig, resolver, "a.example").session, 0);
    rig.pass(1s);
    static_cast<void>(asked_for(rig, resolver, "")); // on the silent one
    resolver.answer(asked_for(rig, resolver, ""));
    assert_int_equal(asked_for(rig, resolver, "a.example").session, 1);
    rig.pass(1s);
    static_cast<void>(asked_for(rig, resolver, "")); // on the silent one
    resolver.answer(asked_for(rig, resolver, ""));
    const Asked last = asked_for(rig, resolver, "a.example");
    assert_int_equal(last.session, 3);
    resolver.answer(last);
    wait_for_answers(rig, client, 1);
    assert_int_equal(resolver.asked_in_all, 4 + dotproxy::max_sends); // with the probes
    assert_int_equal(resolver.sessions(), 4);
}

// RFC 7766, section 6.2.3: however many answers a server gives on a connection, and with questions
// behind the last of them.
void test_close_when_questions_are_behind_the_last_answer_then_nothing_is_lost(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    const UdpClient client{rig.udp_address()};
    std::map<std::size_t, std::size_t> answers; // of a session
    for (std::size_t limit = 1; limit <= 6; ++limit) {
        for (int turn = 0; turn < 12; ++turn) {
            const std::string where = std::to_string(limit) + "-" + std::to_string(turn);
            for (std::uint16_t i = 0; i < 8; ++i) {
                client.send(query("n" + std::to_string(i) + "." + where + ".example", i));
            }
            int good = 0;
            for (int steps = 0; steps < 1000 && !(good == 8 && rig.relay().idle()); ++steps) {
                rig.pass(1ms);
                for (const Asked& each : std::exchange(resolver.asked, {})) {
                    if (++answers[each.session] <= limit) {
                        resolver.answer(each);
                    } else {
                        resolver.close(each.session);
                    }
                }
                for (Message one = client.receive(); !one.empty(); one = client.receive()) {
                    good += rcode(one) == noerror ? 1 : 0;
                }
            }
            assert_int_equal(good, 8);
        }
    }
    assert_int_equal(rig.failures(), 0);
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
    assert_int_equal(rig.failures(), 0);
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
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
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
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
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
            test_close_when_after_some_answers_then_the_last_send_goes_to_a_new_one, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_silence_when_twice_then_the_last_send_is_made,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_close_when_questions_are_behind_the_last_answer_then_nothing_is_lost, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_retire_when_just_connected_then_the_next_question_does_not_wait, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_forget_when_a_quarter_of_all_ids_then_a_new_connection,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_idle_when_no_time_is_given_then_closed_after_each_use,
                                        make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("upstream/connects", tests, make_world, free_world);
}
