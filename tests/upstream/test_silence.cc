// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Upstreams that answer nothing, and those that are only slow with a name: which is which, and what
// it costs to find out.

#include "unit.hh"
#include "upstream/upstreams.hh"
#include "worker/rig.hh"
#include "worker/rig_names.hh"

#include <optional>
#include <string>
#include <utility>

using namespace std::chrono_literals;
using dotproxy::Clock;

namespace {

constexpr unsigned noerror = 0;

/// Lets time pass, while a resolver answers everything but names that begin with "dead" and, if
/// `drops_probes`, the queries for the root.
void serve(Rig& rig, Resolver& resolver, Clock::duration time, bool drops_probes = false,
           std::optional<std::size_t> silent_session = {}) {
    for (Clock::duration passed{}; passed < time; passed += 10ms) {
        for (int i = 0; i < 3; ++i) {
            rig.step();
            for (const Asked& one : std::exchange(resolver.asked, {})) {
                if (!one.name.starts_with("dead") && !(drops_probes && one.name.empty()) &&
                    one.session != silent_session) {
                    resolver.answer(one);
                }
            }
        }
        rig.pass(10ms);
    }
}

/// Whether a question asked now is answered within `time`.
bool is_answered(Rig& rig, Resolver& resolver, const std::string& name, Clock::duration time,
                 bool drops_probes = false) {
    const UdpClient client{rig.udp_address()};
    client.send(query(name, 1));
    serve(rig, resolver, time, drops_probes);
    return rcode(client.receive()) == noerror;
}

/// Connected, used, and idle for a while.
void warm(Rig& rig, Resolver& resolver) {
    rig.open();
    assert_int_equal(rcode(rig.resolve("warm.example")), noerror);
    resolver.answers = false;
    rig.pass(1s);
}

// L80: questions for a dead name, one after the other, with nothing else in flight.
void test_silence_when_of_one_name_then_nothing_is_held_against_the_upstream(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    warm(rig, first);
    const UdpClient client{rig.udp_address()};
    for (int i = 0; i < 5; ++i) {
        client.send(query("dead" + std::to_string(i) + ".example", 1));
        serve(rig, first, 5s);
    }
    assert_true(rig.relay().idle());
    assert_int_equal(rig.count(UpstreamCounter::connects), 2);
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
    assert_int_equal(second.asked_in_all, 5); // each once, while there was time left
    assert_true(is_answered(rig, first, "good.example", 10ms));
    assert_int_equal(second.asked_in_all, 5);
}

// L80 against L32: however short the patience of clients is, an upstream has a second.
void test_silence_when_patience_is_short_then_not_within_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.timeouts.query = 1s;
    Resolver& resolver = rig.add_upstream();
    warm(rig, resolver);
    const UdpClient client{rig.udp_address()};
    for (int i = 0; i < 3; ++i) {
        client.send(query("dead" + std::to_string(i) + ".example", 1));
        rig.pass(890ms);
        serve(rig, resolver, 20ms); // what was asked meanwhile is answered now
        assert_int_equal(rig.count(UpstreamCounter::failed), 0);
    }
    assert_int_equal(rig.count(UpstreamCounter::connects), 1);
}

// L32, L36: and however short it is, one that answers nothing is found out after that second,
// though every single question was given up before.
void test_silence_when_patience_is_short_then_found_after_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.timeouts.query = 500ms;
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    warm(rig, first);
    const UdpClient client{rig.udp_address()};
    for (int i = 0; i < 10; ++i) {
        client.send(query("n" + std::to_string(i) + ".example", 1));
        rig.pass(i < 9 ? 100ms : 99ms);
        assert_int_equal(rig.count(UpstreamCounter::failed), 0);
    }
    rig.pass(1ms);
    assert_int_equal(rig.count(UpstreamCounter::failed), 1);
    assert_int_equal(rcode(rig.resolve("last.example")), noerror);
    assert_true(second.asked_in_all > 0);
}

// Also where nobody asks any more, so that the next one is not the victim; then nothing wakes.
void test_silence_when_nobody_waits_any_more_then_found_all_the_same(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.timeouts.query = 500ms;
    Resolver& resolver = rig.add_upstream();
    warm(rig, resolver);
    const UdpClient client{rig.udp_address()};
    client.send(query("n.example", 1));
    rig.pass(999ms);
    assert_true(rig.relay().idle());
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
    rig.pass(1ms);
    assert_int_equal(rig.count(UpstreamCounter::failed), 1);
    rig.pass(1ms);
    assert_true(rig.nearest() == dotproxy::TimePoint::max());
}

// L80: half of the client's patience for the first upstream, the rest for both.
void test_slow_when_half_of_the_patience_is_gone_then_another_upstream_as_well(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    warm(rig, first);
    const UdpClient client{rig.udp_address()};
    client.send(query("dead.example", 1));
    serve(rig, first, 2240ms);
    assert_int_equal(second.sessions(), 0);
    serve(rig, first, 30ms);
    assert_int_equal(rcode(client.receive()), noerror);
    assert_int_equal(second.asked_in_all, 1);
    // The next one finds a connection, and nothing was held against the first upstream.
    client.send(query("dead2.example", 1));
    serve(rig, first, 2270ms);
    assert_int_equal(rcode(client.receive()), noerror);
    assert_int_equal(second.asked_in_all, 2);
    assert_true(is_answered(rig, first, "good.example", 10ms));
    assert_int_equal(second.asked_in_all, 2);
    assert_int_equal(rig.count(UpstreamCounter::connects), 2);
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
}

// The first one's answer still counts, and neither is asked twice.
void test_slow_when_asked_of_two_then_either_may_answer(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    warm(rig, first);
    second.answers = false;
    const UdpClient client{rig.udp_address()};
    client.send(query("dead.example", 1));
    assert_true(rig.until([&] { return first.asked.size() == 1; }));
    const Asked slow = first.take();
    serve(rig, first, 2300ms);
    assert_int_equal(second.asked.size(), 1);
    serve(rig, first, 400ms); // the second one may take its time as well
    assert_true(client.receive().empty());
    assert_int_equal(rig.count(UpstreamCounter::resent), 1);
    first.answer(slow);
    assert_int_equal(rcode(answer_to(rig, client)), noerror);
    second.answer(second.take());
    assert_true(rig.until([&] { return rig.count(UpstreamCounter::late) == 1; }));
}

// Another address of the same upstream is elsewhere too.
void test_slow_when_the_upstream_has_two_addresses_then_the_other_one_as_well(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    auto& upstreams = rig.config.upstreams;
    upstreams[0].addresses.push_back(second.address());
    upstreams.pop_back();
    warm(rig, first);
    const UdpClient client{rig.udp_address()};
    client.send(query("dead.example", 1));
    serve(rig, first, 2270ms);
    assert_int_equal(rcode(client.receive()), noerror);
    assert_int_equal(second.asked_in_all, 1);
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
}

// What is answered in time leaves nothing to wake for but the end of an idle connection; nor does a
// probe that was answered.
void test_silence_when_all_is_answered_then_nothing_wakes(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig, resolver);
    const auto idle_end = [&] { return rig.now() + rig.config.timeouts.upstream_idle; };
    assert_true(is_answered(rig, resolver, "good.example", 10ms));
    assert_true(rig.nearest() > idle_end() - 100ms);
    const UdpClient client{rig.udp_address()};
    client.send(query("dead.example", 1));
    serve(rig, resolver, 6s);
    assert_true(rig.relay().idle());
    assert_true(rig.nearest() > idle_end() - 5s);
}

// Some servers never answer for the root. One dead name there, and all the others are answered
// again after a real question was let through; the next time nobody waits for probes.
void test_silence_when_probes_are_dropped_then_a_real_question_tells(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig, resolver);
    const UdpClient client{rig.udp_address()};
    client.send(query("dead0.example", 1));
    serve(rig, resolver, 1010ms, true);
    assert_int_equal(rig.count(UpstreamCounter::failed), 1);
    assert_true(is_answered(rig, resolver, "good0.example", 2500ms, true));
    serve(rig, resolver, 5s, true);
    for (int i = 1; i < 4; ++i) {
        client.send(query("dead" + std::to_string(i) + ".example", 1));
        serve(rig, resolver, 1010ms, true);
        assert_true(
            is_answered(rig, resolver, "good" + std::to_string(i) + ".example", 200ms, true));
        serve(rig, resolver, 5s, true);
    }
}

// L32: while an upstream answers nothing at all, a few questions only are tried on it.
void test_silence_when_it_lasts_then_few_real_questions_are_risked(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig, resolver);
    const UdpClient client{rig.udp_address()};
    std::size_t real = 0;
    for (int i = 0; i < 200; ++i) {
        client.send(query("n" + std::to_string(i) + ".example", 1));
        rig.pass(100ms);
        for (const Asked& one : std::exchange(resolver.asked, {})) {
            real += i >= 10 && !one.name.empty() ? 1U : 0U;
        }
    }
    assert_in_range(real, 1, 60); // of 190, in 19 s
}

/// An upstream that answers nothing any more, seen to be so by one question; the next connection is
/// on trial with that. Gives what it was asked.
Asked on_trial(Rig& rig, Resolver& resolver, const UdpClient& client) {
    resolver.asked.clear();
    client.send(query("trial.example", 1));
    for (int i = 0; i < 4000; ++i) {
        rig.pass(1ms);
        for (const Asked& one : std::exchange(resolver.asked, {})) {
            if (one.session > 0 && !one.name.empty()) {
                return one;
            }
        }
    }
    fail_msg("there was no trial");
    return {};
}

// A connection on trial has not won the race: attempts to others go on until it answers.
void test_trial_then_attempts_elsewhere_go_on(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.timeouts.connect = 500ms;
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    warm(rig, first);
    second.shakes_hands = false;
    const UdpClient client{rig.udp_address()};
    static_cast<void>(on_trial(rig, first, client));
    second.shakes_hands = true;
    assert_true(rig.until([&] { return rig.upstream(1).get(UpstreamCounter::handshakes) == 1; }));
}

// And they end when it does.
void test_trial_when_answered_then_the_race_is_over(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.timeouts.connect = 500ms;
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    warm(rig, first);
    second.shakes_hands = false;
    const UdpClient client{rig.udp_address()};
    const Asked one = on_trial(rig, first, client);
    first.answer(one);
    assert_int_equal(rcode(answer_to(rig, client)), noerror);
    rig.step();
    assert_int_equal(rig.count(Counter::upstream_connections), 1); // nothing is tried any more
}

// One dead name on trial does not keep a living upstream shut: a few are asked together, no more.
void test_trial_then_of_a_few_questions_one_answer_is_enough(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.timeouts.connect = 500ms;
    Resolver& resolver = rig.add_upstream();
    warm(rig, resolver);
    const UdpClient client{rig.udp_address()};
    static_cast<void>(on_trial(rig, resolver, client)); // and probes are in vain
    for (int i = 0; i < 10; ++i) {
        client.send(query("n" + std::to_string(i) + ".example", 1));
    }
    assert_true(rig.until([&] { return resolver.asked.size() == 4; }));
    for (int i = 0; i < 20; ++i) {
        rig.step();
    }
    assert_int_equal(resolver.asked.size(), 4);
    const Asked dead = resolver.take();
    const Asked one = resolver.take();
    assert_int_equal(one.session, dead.session);
    resolver.answer(one);
    assert_true(rig.until([&] { return resolver.asked.size() == 2 + 6; }));
    resolver.answers = true;
    assert_int_equal(rcode(rig.resolve("last.example")), noerror);
}

// L35: one question while nothing can be reached, whatever the number of addresses.
void test_outage_when_one_question_waits_then_few_connects(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    for (int i = 0; i < 4; ++i) {
        rig.add_upstream().stop();
    }
    rig.open();
    const UdpClient client{rig.udp_address()};
    client.send(query("a.example", 1));
    for (int i = 0; i < 500; ++i) {
        rig.pass(10ms); // a refusal is heard of at once
    }
    assert_int_equal(rig.failures(), 1);
    assert_in_range(rig.count(UpstreamCounter::connects), 8, 40);
}

// And whichever of them comes back, it is found soon.
void test_outage_when_the_last_address_comes_back_then_soon_found(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    for (int i = 0; i < 4; ++i) {
        rig.add_upstream().stop();
    }
    rig.open();
    const UdpClient client{rig.udp_address()};
    for (int i = 0; i < 100; ++i) {
        client.send(query("n" + std::to_string(i) + ".example", 1));
        rig.pass(20ms);
    }
    while (!client.receive().empty()) {
    }
    Resolver& last = *rig.resolvers.back();
    last.start();
    for (int i = 0; i < 15; ++i) {
        client.send(query("m" + std::to_string(i) + ".example", 1));
        rig.pass(20ms);
    }
    assert_true(last.asked_in_all > 0);
}

// L80: a probe that nobody answered, long ago, does not stand for the one that is due now.
void test_probe_when_lost_once_then_sent_anew_at_the_next_silence(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig, resolver);
    const UdpClient client{rig.udp_address()};
    client.send(query("slow.example", 1));
    assert_true(rig.until([&] { return !resolver.asked.empty(); }));
    const Asked slow = resolver.take();
    rig.pass(510ms);
    assert_true(rig.until([&] { return !resolver.asked.empty(); }));
    assert_true(resolver.take().name.empty()); // the probe, lost at the upstream
    resolver.answer(slow);
    assert_int_equal(rcode(answer_to(rig, client)), noerror);
    for (int i = 0; i < 10; ++i) {
        assert_true(is_answered(rig, resolver, "n" + std::to_string(i) + ".example", 100ms));
    }
    rig.pass(1s);
    client.send(query("dead.example", 1)); // one slow name; probes are answered
    serve(rig, resolver, 2s);
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
    assert_int_equal(rig.count(UpstreamCounter::connects), 1);
}

// L31: one that takes no new questions is looked at as before.
void test_silence_when_retiring_then_asked_again_elsewhere(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig, resolver);
    const UdpClient client{rig.udp_address()};
    client.send(query("a.example", 1));
    client.send(query("b.example", 2));
    wait_for_queries(rig, resolver, 2);
    const Asked a = resolver.take();
    static_cast<void>(resolver.take());
    resolver.answer_with_keepalive(a, 0);
    answer_to(rig, client);
    serve(rig, resolver, 3s, false, a.session);
    assert_int_equal(rcode(client.receive()), noerror);
}

// The same in a group lane, where the connection of one that was given up retires.
void test_silence_when_a_neighbour_was_given_up_then_asked_again_elsewhere(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig, resolver);
    const UdpClient client{rig.udp_address()};
    client.send(query("dead.example", 1));
    serve(rig, resolver, 4300ms);
    for (int i = 0; i < 5; ++i) {
        client.send(query("n" + std::to_string(i) + ".example", 10));
    }
    client.send(query("heard.example", 9));
    wait_for_queries(rig, resolver, 6);
    for (int i = 0; i < 5; ++i) {
        static_cast<void>(resolver.take());
    }
    const Asked heard = resolver.take();
    resolver.answer(heard);
    Message answer = answer_to(rig, client);
    resolver.close(heard.session, false);
    // All go to a group, whose connection falls silent.
    wait_for_queries(rig, resolver, 6);
    assert_int_equal(resolver.asked.front().session, heard.session + 1);
    resolver.asked.clear();
    rig.pass(300ms); // dead.example is given up
    answer = client.receive();
    assert_int_equal(rcode(answer), 2);
    serve(rig, resolver, 3s, false, heard.session + 1);
    int good = 0;
    while (!(answer = client.receive()).empty()) {
        good += rcode(answer) == noerror ? 1 : 0;
    }
    assert_int_equal(good, 5);
}

// failover_on_error = false: who is behind the first sees no name as long as that one lives.
void test_overdue_when_failover_is_off_then_the_next_upstream_is_not_told(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.failover_on_error = false;
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    warm(rig, first);
    const UdpClient client{rig.udp_address()};
    client.send(query("dead.example", 1));
    serve(rig, first, 5s);
    assert_int_equal(rig.upstream(0).get(UpstreamCounter::failed), 0); // it can be reached
    assert_int_equal(second.asked_in_all, 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_silence_when_of_one_name_then_nothing_is_held_against_the_upstream, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_silence_when_patience_is_short_then_not_within_a_second, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_silence_when_patience_is_short_then_found_after_a_second, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_silence_when_nobody_waits_any_more_then_found_all_the_same, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_slow_when_half_of_the_patience_is_gone_then_another_upstream_as_well, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_slow_when_asked_of_two_then_either_may_answer,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_slow_when_the_upstream_has_two_addresses_then_the_other_one_as_well, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_silence_when_all_is_answered_then_nothing_wakes,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_silence_when_probes_are_dropped_then_a_real_question_tells, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_silence_when_it_lasts_then_few_real_questions_are_risked, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_trial_then_attempts_elsewhere_go_on, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_trial_when_answered_then_the_race_is_over, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_trial_then_of_a_few_questions_one_answer_is_enough,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_outage_when_one_question_waits_then_few_connects,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_outage_when_the_last_address_comes_back_then_soon_found, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_probe_when_lost_once_then_sent_anew_at_the_next_silence, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_silence_when_retiring_then_asked_again_elsewhere,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_silence_when_a_neighbour_was_given_up_then_asked_again_elsewhere, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_overdue_when_failover_is_off_then_the_next_upstream_is_not_told, make_rig,
            free_rig),
    };
    return cmocka_run_group_tests_name("upstream/silence", tests, make_world, free_world);
}
