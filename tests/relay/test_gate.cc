// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/gate.hh"

#include "relay/gate_door.hh"

#include <algorithm>
#include <array>
#include <string>

using dotproxy::Client;
using dotproxy::Config;
using dotproxy::Counter;
using dotproxy::LimitsConfig;
using dotproxy::Prefix;
using namespace dotproxy::test;

namespace {

// limits 41: what the master writes counts for the next question.
void test_admit_when_networks_come_and_go_then_at_once(void** /*state*/) {
    Shared shared;
    Door door{shared, Config{}};
    assert_true(door.client("192.168.0.1").has_value());
    assert_false(door.client("198.51.100.7").has_value());
    shared.on_link.write(std::array{*Prefix::parse("198.51.100.0/24")});
    assert_true(door.client("198.51.100.7").has_value());
    shared.on_link.write({});
    assert_false(door.client("198.51.100.7").has_value());
    assert_false(door.gate.admit(std::nullopt, door.config.allow).has_value());
}

// limits 42: once a second for each /24 and /48, and all workers together.
void test_tells_when_asked_again_then_once_a_second(void** /*state*/) {
    Shared shared;
    Door one{shared};
    Door other{shared, limited(), 1};
    int told = 0;
    for (int i = 0; i < 1000; ++i) {
        Door& door = i % 2 == 0 ? one : other;
        door.turn->now = dotproxy::TimePoint{1h + i * 10ms};
        told += door.gate.tells(at(i % 3 == 0 ? "203.0.113.7" : "203.0.113.8")) ? 1 : 0;
    }
    assert_in_range(told, 9, 10);
    assert_true(one.gate.tells(at("203.0.114.7")));
    assert_true(one.gate.tells(at("2001:db8:1:2::7")));
    assert_false(other.gate.tells(at("2001:db8:1:3::7")));
    assert_true(other.gate.tells(at("2001:db8:2:3::7")));
}

// limits 9 and 55: two seconds' worth at once, then the rate, for all workers together.
void test_ask_when_over_the_rate_then_limited_to_it(void** /*state*/) {
    Shared shared;
    Door one{shared};
    Door other{shared, limited(), 1};
    const auto ask = [&](int i) {
        other.turn->now = one.turn->now;
        return (i % 2 == 0 ? one : other).asks("192.0.2.7");
    };
    assert_in_range(passed_of(one, 100'000, 10s, ask), 1198, 1202);
    // Who slows down is not held to what was refused.
    assert_int_equal(passed_of(one, 200, 4s, ask), 200);
}

// limits 13: half of what is over its limit is told the way out, in turn.
void test_ask_when_over_then_half_is_truncated(void** /*state*/) {
    Shared shared;
    Door door{shared};
    while (door.asks("192.0.2.7")) {
    }
    int truncated = 0;
    for (int i = 0; i < 100; ++i) {
        const Admission what = door.gate.ask(*door.client("192.0.2.7"), type_a, false);
        assert_true(what != Admission::answer);
        truncated += what == Admission::truncate ? 1 : 0;
    }
    assert_int_equal(truncated, 50);
    assert_in_range(door.count(Counter::limited_truncated), 50, 51);
    assert_int_equal(door.count(Counter::limited_dropped) + door.count(Counter::limited_truncated),
                     101);
}

// limits 13 and 51: to who gets a cookie it is told so, and that is counted apart.
void test_ask_when_over_and_there_is_a_cookie_then_counted_apart(void** /*state*/) {
    Shared shared;
    Door door{shared};
    while (door.asks("192.0.2.7")) {
    }
    const auto dropped = door.count(Counter::limited_dropped);
    int truncated = 0;
    for (int i = 0; i < 100; ++i) {
        const Admission what = door.gate.ask(*door.client("192.0.2.7"), type_a, true);
        assert_true(what != Admission::answer);
        truncated += what == Admission::truncate ? 1 : 0;
    }
    assert_int_equal(truncated, 50);
    assert_int_equal(door.count(Counter::limited_cookies), 50);
    assert_int_equal(door.count(Counter::limited_dropped) - dropped, 50);
    assert_in_range(door.count(Counter::limited_truncated), 0, 1);
}

// limits 44 and 51: what one worker gives, another one knows.
void test_recognize_then_by_the_secret_that_all_have(void** /*state*/) {
    Shared shared;
    Door one{shared};
    Door other{shared, limited(), 1};
    constexpr std::array<std::uint8_t, 8> own{1, 2, 3, 4, 5, 6, 7, 8};
    const auto given = one.gate.recognize(at("192.0.2.7"), own);
    assert_false(given.valid());
    assert_true(other.gate.recognize(at("192.0.2.7"), given.answer).valid());
    assert_false(other.gate.recognize(at("192.0.2.8"), given.answer).valid());
    assert_int_equal(one.count(Counter::cookies_valid) + one.count(Counter::cookies_bad), 0);
    assert_int_equal(other.count(Counter::cookies_valid), 1);
    assert_int_equal(other.count(Counter::cookies_bad), 1);
    assert_int_equal(other.count(Counter::cookies_renewed), 0);
}

// limits 9 and 56: an office in one /64 shares no counter, who rotates addresses outside does.
void test_ask_when_many_addresses_then_by_who_they_are(void** /*state*/) {
    Shared shared;
    Door door{shared};
    const auto office = [&](int i) {
        return door.asks("2001:db8:1::" + std::to_string(1000 + i % 500));
    };
    assert_int_equal(passed_of(door, 10'000 * 2, 2s, office), 20'000); // 20 a second each
    const auto rotating = [&](int i) {
        return door.asks("2001:db8:2::" + std::to_string(1000 + i % 500));
    };
    assert_in_range(passed_of(door, 20'000, 2s, rotating), 398, 402);
    const auto site = [&](int i) { // a /48 is four /64 wide
        return door.asks("2001:db8:3:" + std::to_string(i % 64) + "::1");
    };
    assert_in_range(passed_of(door, 20'000, 2s, site), 4 * 400 - 8, 4 * 400 + 8);
    const auto network = [&](int i) { return door.asks("203.0.113." + std::to_string(i % 256)); };
    assert_in_range(passed_of(door, 51'200, 2s, network), 32 * 400 - 64, 32 * 400 + 64);
    const auto lan = [&](int i) { return door.asks("192.168.7." + std::to_string(i % 250)); };
    assert_int_equal(passed_of(door, 49'000, 2s, lan), 49'000); // 98 a second each
    const auto loopback = [&](int) { return door.asks("127.0.0.1"); };
    assert_int_equal(passed_of(door, 10'000, 1s, loopback), 10'000);
    const auto mapped = [&](int i) {
        return door.asks(i % 2 == 0 ? "198.51.100.9" : "::ffff:198.51.100.9");
    };
    assert_in_range(passed_of(door, 10'000, 2s, mapped), 398, 402);
}

// limits 46
void test_ask_when_network_has_a_factor_then_the_longest_counts(void** /*state*/) {
    Shared shared;
    Config config = limited();
    config.limits.networks.set(*Prefix::parse("10.8.0.0/16"), 10);
    config.limits.networks.set(*Prefix::parse("10.8.1.0/24"), 0);
    config.limits.networks.set(*Prefix::parse("127.0.0.0/8"), 0.5);
    Door door{shared, config};
    const auto from = [&](const char* source) {
        return [&door, source](int) { return door.asks(source); };
    };
    assert_in_range(passed_of(door, 10'000, 1s, from("10.8.0.1")), 2990, 3010);
    assert_int_equal(passed_of(door, 10'000, 1s, from("10.8.1.1")), 10'000);
    assert_in_range(passed_of(door, 10'000, 1s, from("10.9.0.1")), 299, 301);
    assert_in_range(passed_of(door, 10'000, 1s, from("127.0.0.1")), 149, 151);
}

// limits 11: what is counted is counted apart.
void test_budgets_when_one_is_used_up_then_the_others_are_not(void** /*state*/) {
    Shared shared;
    Door door{shared};
    while (door.asks("192.0.2.7")) {
    }
    int misses = 0;
    while (door.forwards("192.0.2.7")) {
        ++misses;
    }
    assert_int_equal(misses, 200); // four seconds' worth
    int connections = 0;
    while (door.connects("192.0.2.7")) {
        ++connections;
    }
    assert_int_equal(connections, 20);
    assert_int_equal(door.count(Counter::limited_misses), 1);
    assert_int_equal(door.count(Counter::limited_connects), 1);
}

// limits 18
void test_ask_when_any_from_beyond_then_truncated(void** /*state*/) {
    Shared shared;
    Door door{shared};
    constexpr std::uint16_t any = dotproxy::dns::type::any;
    assert_true(door.asks("192.168.7.1", any));
    assert_true(door.asks("127.0.0.1", any));
    for (int i = 0; i < 3; ++i) {
        assert_true(door.gate.ask(*door.client("192.0.2.7"), any, false) == Admission::truncate);
    }
    assert_true(door.asks("192.0.2.7"));
}

// What is always shown the way over TCP takes no turn from others who are over their rate.
void test_ask_when_others_ask_for_any_then_half_is_truncated_still(void** /*state*/) {
    Shared shared;
    Door door{shared};
    while (door.asks("192.0.2.7")) {
    }
    int truncated = 0;
    for (int i = 0; i < 100; ++i) {
        static_cast<void>(door.asks("198.51.100.7", dotproxy::dns::type::any));
        truncated += door.gate.ask(*door.client("192.0.2.7"), type_a, false) == Admission::truncate;
    }
    assert_int_equal(truncated, 50);
}

// limits 14, 22: who has shown its address has budgets that nobody else can use up, and no more.
void test_ask_when_verified_then_has_budgets_of_its_own(void** /*state*/) {
    Shared shared;
    Door door{shared};
    while (door.asks("192.0.2.7")) {
    }
    while (door.forwards("192.0.2.7")) {
    }
    Client shown = *door.client("192.0.2.7");
    shown.verified = true;
    int asked = 0;
    while (door.gate.ask(shown, type_a, false) == Admission::answer) {
        ++asked;
    }
    assert_int_equal(asked, 200);
    int forwarded = 0;
    while (door.gate.forward(shown)) {
        ++forwarded;
    }
    assert_int_equal(forwarded, 200);
}

// limits 18, 34: what holds for who may be anybody needs no mode.
void test_admit_when_mode_is_off_then_strangers_are_known_as_such(void** /*state*/) {
    Shared shared;
    Config config = limited();
    config.limits.mode = LimitsConfig::Mode::off;
    Door door{shared, config};
    assert_false(door.client("192.0.2.7")->standing.near);
    assert_true(door.client("192.168.7.1")->standing.near);
    assert_true(door.client("127.0.0.1")->standing.near);
}

// limits 26
void test_mode_when_count_then_all_pass_and_are_counted(void** /*state*/) {
    Shared shared;
    Config config = limited();
    config.limits.mode = LimitsConfig::Mode::count;
    Door door{shared, config};
    for (int i = 0; i < 300; ++i) {
        assert_true(door.asks("192.0.2.7"));
        assert_true(door.forwards("192.0.2.7"));
        assert_true(door.connects("192.0.2.7"));
    }
    assert_true(door.asks("192.0.2.8", dotproxy::dns::type::any));
    assert_int_equal(door.count(Counter::limited_dropped) + door.count(Counter::limited_truncated),
                     101);
    assert_int_equal(door.count(Counter::limited_misses), 100);
    assert_int_equal(door.count(Counter::limited_connects), 280);
}

void test_mode_when_off_or_no_rate_then_nothing_is_counted(void** /*state*/) {
    Shared shared;
    Config off = limited();
    off.limits.mode = LimitsConfig::Mode::off;
    off.limits.networks.set(*Prefix::parse("192.0.2.0/24"), 0.01);
    Config no_rate = limited();
    no_rate.limits.client_rate = no_rate.limits.client_misses = no_rate.limits.client_connects = 0;
    for (const Config& config : {off, no_rate}) {
        Door door{shared, config};
        for (int i = 0; i < 1000; ++i) {
            assert_true(door.asks("192.0.2.7"));
            assert_true(door.forwards("192.0.2.7"));
            assert_true(door.connects("192.0.2.7"));
        }
    }
}

// limits 20: the first who is over a limit is told to the master, who looks for himself from there
// on.
void test_ask_when_over_then_noted(void** /*state*/) {
    Shared shared;
    Door door{shared};
    assert_false(door.gate.take_alarm());
    while (door.asks("192.0.2.7")) {
    }
    assert_true(door.gate.take_alarm());
    static_cast<void>(door.asks("192.0.2.7"));
    assert_false(door.gate.take_alarm());
    const auto all = shared.limits.offenders().all();
    assert_int_equal(all.size(), 1);
    assert_true(all[0].culprit.prefix == *Prefix::parse("192.0.2.7"));
    assert_true(all[0].culprit.offence == dotproxy::Offence::question);
    assert_false(all[0].culprit.verified);
    assert_true(all[0].culprit.limit > 99 && all[0].culprit.limit < 101);
    assert_int_equal(all[0].over, 2);
    // By the budget that is over: many of one network are that network.
    for (int i = 0; i < 20'000; ++i) {
        static_cast<void>(door.connects("198.51.100." + std::to_string(i % 200)));
    }
    bool network = false;
    for (const auto& one : shared.limits.offenders().all()) {
        network = network ||
                  (one.culprit.prefix == *Prefix::parse("198.51.100.0/24") &&
                   one.culprit.verified && one.culprit.offence == dotproxy::Offence::connection);
    }
    assert_true(network);
}

// limits 22 and 49
void test_blocked_when_the_kernel_lets_through_then_refused(void** /*state*/) {
    Shared shared;
    Door door{shared};
    assert_false(door.gate.blocks(at("192.0.2.7")));
    const std::uint32_t before = door.gate.blocked_version();
    shared.limits.blocked().write(std::array{*Prefix::parse("192.0.2.0/25")});
    shared.limits.blocked_unverified().write(std::array{*Prefix::parse("198.51.100.7")});
    assert_true(door.gate.blocked_version() != before);
    assert_true(door.gate.blocks(at("192.0.2.7")));
    assert_true(door.gate.blocks(at("::ffff:192.0.2.7")));
    assert_false(door.gate.blocks(at("192.0.2.128")));
    assert_int_equal(door.count(Counter::blocked_refused), 2);
    // Who may be a victim is shown the way over TCP, and has it.
    assert_false(door.gate.blocks(at("198.51.100.7")));
    for (int i = 0; i < 4; ++i) {
        assert_true(door.gate.ask(*door.client("198.51.100.7"), type_a, false) ==
                    Admission::truncate);
    }
    assert_true(door.connects("198.51.100.7"));
    shared.limits.blocked_unverified().write({});
    assert_true(door.asks("198.51.100.7"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_admit_when_networks_come_and_go_then_at_once),
        cmocka_unit_test(test_tells_when_asked_again_then_once_a_second),
        cmocka_unit_test(test_ask_when_over_the_rate_then_limited_to_it),
        cmocka_unit_test(test_ask_when_over_then_half_is_truncated),
        cmocka_unit_test(test_ask_when_over_and_there_is_a_cookie_then_counted_apart),
        cmocka_unit_test(test_recognize_then_by_the_secret_that_all_have),
        cmocka_unit_test(test_ask_when_many_addresses_then_by_who_they_are),
        cmocka_unit_test(test_ask_when_network_has_a_factor_then_the_longest_counts),
        cmocka_unit_test(test_budgets_when_one_is_used_up_then_the_others_are_not),
        cmocka_unit_test(test_ask_when_any_from_beyond_then_truncated),
        cmocka_unit_test(test_ask_when_others_ask_for_any_then_half_is_truncated_still),
        cmocka_unit_test(test_ask_when_verified_then_has_budgets_of_its_own),
        cmocka_unit_test(test_admit_when_mode_is_off_then_strangers_are_known_as_such),
        cmocka_unit_test(test_mode_when_count_then_all_pass_and_are_counted),
        cmocka_unit_test(test_mode_when_off_or_no_rate_then_nothing_is_counted),
        cmocka_unit_test(test_ask_when_over_then_noted),
        cmocka_unit_test(test_blocked_when_the_kernel_lets_through_then_refused),
    };
    return cmocka_run_group_tests_name("relay/gate", tests, nullptr, nullptr);
}
