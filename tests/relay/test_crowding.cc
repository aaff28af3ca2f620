// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// One address that asks more than is answered, and all the others: it never has more questions
// waiting than there is room left.

#include "relay/relay.hh"

#include "relay/mailbox.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <string>
#include <vector>

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::Client;
using dotproxy::Clock;
using dotproxy::test::Mailbox;

namespace {

constexpr unsigned servfail = 2;
constexpr std::uint32_t places = 4096;
constexpr std::uint32_t floor = 64; // so many may wait, whosever they are, or of each address

/// Addresses that ask questions which nobody answers.
class Crowd {
  public:
    explicit Crowd(Rig& rig, std::uint32_t room = places) : rig_{rig} {
        rig.config.limits.queries = room;
        rig.add_upstream().answers = false;
        rig.open();
    }

    /// How many of `number` questions of an address find room.
    std::uint32_t ask(const char* address, std::uint32_t number) {
        const std::uint32_t first = names_ + 1;
        names_ += number;
        return ask_for(address, first, number);
    }

    /// The same of questions that have been asked.
    std::uint32_t ask_for(const char* address, std::uint32_t first, std::uint32_t number) {
        Client client = like;
        client.front = &mailbox;
        client.peer = *Address::parse(address, 4242);
        const auto before = rig_.count(Counter::queries_waiting);
        rig_.in_turn([&] {
            client.asked_at = rig_.now();
            for (std::uint32_t i = first; i < first + number; ++i) {
                const std::string name = "n" + std::to_string(i) + ".example";
                assert_true(rig_.relay().ask(client, query(name, 1)) ==
                            dotproxy::Relay::Heard::question);
            }
        });
        return static_cast<std::uint32_t>(rig_.count(Counter::queries_waiting) - before);
    }

    Mailbox mailbox;
    Client like; // how they all are

  private:
    Rig& rig_;
    std::uint32_t names_{0};
};

void test_ask_when_one_address_never_stops_then_half_is_left(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    const std::uint32_t first = crowd.ask("192.0.2.1", 2 * places);
    assert_in_range(first, places / 2, places / 2 + floor);
    assert_int_equal(rig.count(FailureReason::crowding), 2 * places - first);
    assert_int_equal(rig.count(FailureReason::overload), 0);
    assert_int_equal(crowd.mailbox.answers.size(), 2 * places - first);
    assert_int_equal(rcode(crowd.mailbox.answers.back()), servfail);
    // Whoever else asks is not told so, be there many of them.
    for (int i = 1; i <= 50; ++i) {
        assert_int_equal(crowd.ask(("198.51.100." + std::to_string(i)).c_str(), 10), 10);
    }
}

// Each of n that never stop has a part of n + 1, or half of what was left.
void test_ask_when_several_never_stop_then_there_is_room_for_another(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    std::uint32_t left = places;
    for (int i = 1; i <= 4; ++i) {
        const std::uint32_t got = crowd.ask(("192.0.2." + std::to_string(i)).c_str(), places);
        assert_in_range(got, left / 2 - 1, left / 2 + floor);
        left -= got;
    }
    assert_int_equal(crowd.ask("2001:db8::1", 50), 50);
}

// With the room there is by default: what holds for one answer is no bound for all of them.
void test_ask_when_there_is_much_room_then_half_of_all(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    constexpr std::uint32_t room = 65536;
    Crowd crowd{rig, room};
    assert_in_range(crowd.ask("192.0.2.1", room), room / 2, room / 2 + floor);
    assert_int_equal(crowd.ask("192.0.2.2", 1000), 1000);
}

// limits 9: hosts of one's own network are not one client because they share a /64.
void test_ask_when_near_then_neighbours_have_room(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    assert_in_range(crowd.ask("2001:db8::1", places), places / 2, places / 2 + floor);
    for (int i = 2; i <= 9; ++i) {
        assert_int_equal(crowd.ask(("2001:db8::" + std::to_string(i)).c_str(), 100), 100);
    }
}

// Beyond it a whole /64 is one, and a /48 has three quarters.
void test_ask_when_far_then_a_network_leaves_room(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    crowd.like.verified = true; // else it may be anybody
    crowd.like.standing.near = false;
    const std::uint32_t first = crowd.ask("2001:db8::1", places);
    assert_in_range(first, places / 2, places / 2 + floor);
    assert_in_range(crowd.ask("2001:db8::2", 100), 0, 1);
    std::uint32_t all = first;
    for (int i = 1; i <= 9; ++i) {
        all += crowd.ask(("2001:db8:0:" + std::to_string(i) + "::1").c_str(), places);
    }
    assert_in_range(all, places * 3 / 4 - 1, places * 3 / 4 + floor);
    assert_int_equal(crowd.ask("2001:db8:1::1", 500), 500);
}

void test_ask_when_it_is_less_than_the_least_then_whatever_is_left(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    for (int i = 1; i <= 12; ++i) {
        static_cast<void>(crowd.ask(("192.0.2." + std::to_string(i)).c_str(), places));
    }
    assert_in_range(places - rig.count(Counter::queries_waiting), 0, floor);
    assert_true(rig.count(FailureReason::overload) > 0);
}

// Another forwarder on this host asks for everybody.
void test_ask_when_from_this_host_then_it_may_have_all(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    assert_int_equal(crowd.ask("127.0.0.1", places / 2), places / 2);
    assert_int_equal(crowd.ask("::1", places / 4), places / 4);
    assert_int_equal(crowd.ask("::ffff:127.8.9.1", places / 4), places / 4);
    assert_int_equal(rig.count(FailureReason::crowding), 0);
}

// L48: places are given back with what they are for.
void test_ask_when_all_have_failed_then_it_may_ask_as_many_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    const std::uint32_t first = crowd.ask("192.0.2.1", places);
    rig.pass(rig.config.timeouts.query);
    assert_int_equal(rig.count(Counter::queries_waiting), 0);
    assert_int_equal(crowd.ask("192.0.2.1", places), first);
}

/// A client beyond "local", who has not shown that the address is its own, asks for one name again
/// and again, with another port and ID each time.
void bomb(Rig& rig, Mailbox& mailbox, std::uint32_t number) {
    rig.in_turn([&] {
        Client client;
        client.front = &mailbox;
        client.asked_at = rig.now();
        client.standing.near = false;
        for (std::uint32_t i = 0; i < number; ++i) {
            client.peer = *Address::parse("192.0.2.1", static_cast<std::uint16_t>(1024 + i));
            const auto id = static_cast<std::uint16_t>(i);
            assert_true(rig.relay().ask(client, query("bomb.example", id)) ==
                        dotproxy::Relay::Heard::question);
        }
    });
}

/// Has the upstream answer all that it was asked, and waits until nobody waits.
void answer_all(Rig& rig) {
    Resolver& resolver = *rig.resolvers[0];
    resolver.answers = true;
    assert_true(rig.until([&] {
        while (!resolver.asked.empty()) {
            resolver.answer(resolver.take());
        }
        return rig.count(Counter::queries_waiting) == 0;
    }));
}

// So has each that joins: one never has all places there are for the same answer.
void test_ask_when_one_joins_without_end_then_others_join_as_well(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig, 4 * places};
    const auto joins = [&](const char* address, std::uint32_t number) {
        Client client;
        client.front = &crowd.mailbox;
        client.asked_at = rig.now();
        const auto before = rig.count(Counter::queries_waiting);
        rig.in_turn([&] {
            for (std::uint32_t i = 0; i < number; ++i) {
                client.peer = *Address::parse(address, static_cast<std::uint16_t>(1024 + i));
                static_cast<void>(rig.relay().ask(client, query("slow.example", 1)));
            }
        });
        return static_cast<std::uint32_t>(rig.count(Counter::queries_waiting) - before);
    };
    constexpr std::uint32_t for_one_answer = 4096;
    assert_in_range(joins("192.0.2.1", 2 * for_one_answer), for_one_answer / 2,
                    for_one_answer / 2 + floor);
    for (int i = 1; i <= 50; ++i) {
        assert_int_equal(joins(("198.51.100." + std::to_string(i)).c_str(), 10), 10);
    }
}

// Whoever sends in the name of others leaves room for who shows that it is there.
void test_ask_when_far_and_perhaps_nobody_then_half_is_left(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    Client client;
    client.front = &crowd.mailbox;
    client.standing.near = false;
    std::uint32_t names = 0;
    const auto asks = [&](std::uint32_t number) {
        const auto before = rig.count(Counter::queries_waiting);
        rig.in_turn([&] {
            client.asked_at = rig.now();
            for (std::uint32_t i = 0; i < number; ++i, ++names) {
                client.peer = *Address::parse("10." + std::to_string(names % 250) + "." +
                                                  std::to_string(names / 250) + ".1",
                                              4711);
                const std::string name = "n" + std::to_string(names) + ".example";
                static_cast<void>(rig.relay().ask(client, query(name, 1)));
            }
        });
        return static_cast<std::uint32_t>(rig.count(Counter::queries_waiting) - before);
    };
    assert_in_range(asks(places), places / 2, places / 2 + 1);
    client.verified = true;
    assert_int_equal(asks(1000), 1000);
    client.verified = false;
    client.standing.near = true;
    assert_int_equal(asks(900), 900);
}

// And is not turned away when others have taken half.
void test_ask_when_others_have_half_then_who_is_far_has_room(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    assert_in_range(crowd.ask("192.0.2.1", places), places / 2, places / 2 + floor);
    crowd.like.standing.near = false;
    assert_int_equal(crowd.ask("198.51.100.1", 500), 500);
}

// limits 34: what a slow name gathers for one address comes to no pulse (DNSBomb).
void test_ask_when_far_and_slow_then_few_are_answered_together(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    bomb(rig, crowd.mailbox, places);
    const std::uint64_t waiting = rig.count(Counter::queries_waiting);
    assert_in_range(waiting, 1000, 1000 + floor);
    assert_int_equal(rig.count(FailureReason::crowding), places - waiting);
    crowd.mailbox.answers.clear();
    answer_all(rig);
    assert_int_equal(crowd.mailbox.answers.size(), waiting);
}

// limits 34
void test_ask_when_far_and_slower_then_it_has_gone(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    bomb(rig, crowd.mailbox, 100);
    assert_true(rig.until([&] { return !rig.resolvers[0]->asked.empty(); }));
    rig.pass(2s);
    assert_int_equal(crowd.ask("10.0.0.1", 1), 1);
    answer_all(rig);
    assert_int_equal(rig.count(Counter::late_dropped), 100);
    assert_int_equal(crowd.mailbox.answers.size(), 1);
}

// limits 34: who asks again what it waits for has one answer to both.
void test_ask_when_repeated_over_udp_then_one_answer(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    bomb(rig, crowd.mailbox, 10);
    bomb(rig, crowd.mailbox, 12);
    assert_int_equal(rig.count(Counter::queries_waiting), 12);
    assert_int_equal(rig.count(Counter::repeated), 10);
    answer_all(rig);
    assert_int_equal(crowd.mailbox.answers.size(), 12);
}

// limits 34: its patience begins anew, and what is late for the first time is not for the second.
void test_ask_when_repeated_before_it_has_gone_then_waits_anew(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    bomb(rig, crowd.mailbox, 10);
    assert_true(rig.until([&] { return !rig.resolvers[0]->asked.empty(); }));
    rig.pass(1500ms);
    bomb(rig, crowd.mailbox, 9);
    rig.pass(1s);
    answer_all(rig);
    assert_int_equal(crowd.mailbox.answers.size(), 9);
    assert_int_equal(rig.count(Counter::late_dropped), 1);
}

void test_ask_when_repeated_by_who_has_all_it_may_have_then_no_failure(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Crowd crowd{rig};
    static_cast<void>(crowd.ask("192.0.2.1", places));
    const std::uint64_t refused = rig.count(FailureReason::crowding);
    assert_true(refused > 0);
    assert_int_equal(crowd.ask_for("192.0.2.1", 1, 10), 0);
    assert_int_equal(rig.count(Counter::repeated), 10);
    assert_int_equal(rig.count(FailureReason::crowding), refused);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ask_when_one_address_never_stops_then_half_is_left,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_ask_when_several_never_stop_then_there_is_room_for_another, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_ask_when_it_is_less_than_the_least_then_whatever_is_left, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_from_this_host_then_it_may_have_all, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_all_have_failed_then_it_may_ask_as_many_again,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_there_is_much_room_then_half_of_all, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_others_have_half_then_who_is_far_has_room,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_near_then_neighbours_have_room, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_far_then_a_network_leaves_room, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(
            test_ask_when_one_joins_without_end_then_others_join_as_well, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_far_and_perhaps_nobody_then_half_is_left,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_far_and_slow_then_few_are_answered_together,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_far_and_slower_then_it_has_gone, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_repeated_before_it_has_gone_then_waits_anew,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_ask_when_repeated_by_who_has_all_it_may_have_then_no_failure, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_repeated_over_udp_then_one_answer, make_rig,
                                        free_rig),
    };
    return cmocka_run_group_tests_name("relay/crowding", tests, make_world, free_world);
}
