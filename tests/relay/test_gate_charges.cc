// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What is charged afterwards, and for what gets no answer.

#include "relay/gate.hh"

#include "relay/gate_door.hh"

#include <algorithm>
#include <map>
#include <string>

using dotproxy::Client;
using dotproxy::Config;
using dotproxy::Counter;
using dotproxy::LimitsConfig;
using dotproxy::Prefix;
using namespace dotproxy::test;

namespace {

// limits 38: a handshake that resumes nothing costs as much as three more connections, but who
// slows down is let in again in a second.
void test_charge_when_a_handshake_is_full_then_less_is_left(void** /*state*/) {
    Shared shared;
    Door door{shared};
    const Client client = *door.client("192.0.2.7");
    int connections = 0;
    for (; door.connects("192.0.2.7"); ++connections) {
        door.gate.charge_handshake(client.peer, client.standing);
    }
    assert_int_equal(connections, 5); // of 20
    assert_true(door.connects("203.0.113.7"));
    for (int i = 0; i < 100; ++i) {
        door.gate.charge_handshake(client.peer, client.standing);
    }
    assert_false(door.connects("192.0.2.7"));
    door.turn->now += 1100ms;
    assert_true(door.connects("192.0.2.7"));
}

// limits 16
void test_charge_when_answers_are_dear_then_less_is_left(void** /*state*/) {
    Shared shared;
    Door door{shared};
    const Client client = *door.client("192.0.2.7");
    for (int i = 0; i < 50; ++i) {
        assert_true(door.gate.forward(client));
        door.gate.charge_forwarded(client, 3);
    }
    assert_false(door.gate.forward(client));
    int answers = 0;
    for (; door.gate.ask(client, type_a, false) == Admission::answer; ++answers) {
        door.gate.charge_answer(client, answers % 2 == 0 ? 1025 : 512);
    }
    assert_in_range(answers, 99, 101); // of 200, each other one has cost three
}

// limits 10, 16: however dear, who slows down is let in soon.
void test_charge_when_dearer_than_all_that_is_left_then_a_second_beyond(void** /*state*/) {
    Shared shared;
    Door door{shared};
    const Client client = *door.client("192.0.2.7");
    for (int i = 0; i < 150; ++i) {
        static_cast<void>(door.gate.forward(client));
        door.gate.charge_forwarded(client, 3);
    }
    assert_false(door.gate.forward(client));
    door.turn->now += 900ms;
    assert_false(door.gate.forward(client));
    door.turn->now += 200ms;
    assert_true(door.gate.forward(client));
}

// limits 16: also of who never stops, and so is at its limit all the time.
void test_charge_when_all_is_dear_then_a_part_of_the_rate(void** /*state*/) {
    Shared shared;
    Door door{shared};
    const Client client = *door.client("192.0.2.7");
    const auto forward = [&](int) {
        if (!door.gate.forward(client)) {
            return false;
        }
        door.gate.charge_forwarded(client, 3);
        return true;
    };
    static_cast<void>(passed_of(door, 5'000, 10s, forward));          // the burst
    assert_in_range(passed_of(door, 20'000, 40s, forward), 480, 510); // 50 a second, by four
}

// What is asked for the cache is an upstream's work as well, and whoever could be answered is not
// over a limit for it.
void test_refresh_when_used_up_then_not_asked_for_nor_counted(void** /*state*/) {
    Shared shared;
    Door door{shared};
    const Client client = *door.client("192.0.2.7");
    int asked = 0;
    while (door.gate.refresh(client)) {
        ++asked;
    }
    assert_int_equal(asked, 200);
    assert_false(door.gate.take_alarm());
    assert_int_equal(door.count(Counter::limited_misses), 0);
    assert_false(door.gate.forward(client));
}

// limits 20: who sends what gets no answer is found out as others are; a stranger by the limits
// that everybody has, and by its /24.
void test_charge_when_nothing_is_answered_then_noted(void** /*state*/) {
    Shared shared;
    Door door{shared};
    for (int i = 0; i < 210; ++i) {
        door.gate.charge_unanswered(at("192.168.0.7"), door.client("192.168.0.7")->standing, false);
        door.gate.charge_unanswered(at("192.0.2.7"), std::nullopt, false);
        door.gate.charge_unanswered(at("198.51.100.7"), std::nullopt, true);
    }
    assert_true(door.gate.take_alarm());
    std::map<std::string, dotproxy::Offender> found;
    for (const auto& one : shared.limits.offenders().all()) {
        found.insert_or_assign(one.culprit.prefix.text(), one);
    }
    assert_int_equal(found.size(), 3);
    assert_int_equal(found.at("192.168.0.7").over, 10);
    assert_int_equal(found.at("192.0.2.7").over, 10);
    assert_true(found.at("192.0.2.7").culprit.offence == dotproxy::Offence::question);
    assert_false(found.at("192.0.2.7").culprit.verified);
    assert_int_equal(found.at("198.51.100.7").over, 190);
    assert_true(found.at("198.51.100.7").culprit.verified);
    // Who may not ask is near all the same: its neighbours of one /64 have done nothing.
    for (int i = 0; i < 210; ++i) {
        door.gate.charge_unanswered(at("2001:db8:1::6"), std::nullopt, true);
    }
    assert_int_equal(shared.limits.offenders().all().size(), 4);
    assert_true(std::ranges::any_of(shared.limits.offenders().all(), [](const auto& one) {
        return one.culprit.prefix == *Prefix::parse("2001:db8:1::6");
    }));
    Config none = limited();
    none.limits.mode = LimitsConfig::Mode::off;
    Door open{shared, none};
    for (int i = 0; i < 1000; ++i) {
        open.gate.charge_unanswered(at("203.0.113.7"), std::nullopt, false);
    }
    assert_int_equal(shared.limits.offenders().all().size(), 4);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_charge_when_a_handshake_is_full_then_less_is_left),
        cmocka_unit_test(test_charge_when_answers_are_dear_then_less_is_left),
        cmocka_unit_test(test_charge_when_dearer_than_all_that_is_left_then_a_second_beyond),
        cmocka_unit_test(test_charge_when_all_is_dear_then_a_part_of_the_rate),
        cmocka_unit_test(test_refresh_when_used_up_then_not_asked_for_nor_counted),
        cmocka_unit_test(test_charge_when_nothing_is_answered_then_noted),
    };
    return cmocka_run_group_tests_name("relay/gate_charges", tests, nullptr, nullptr);
}
