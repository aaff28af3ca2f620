// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What a client of a stream may cost that is of no use to anybody: one that is idle while places
// are scarce, one that there is no place for, one that talks nonsense, one that does not read
// (limits 36, 37).

#include "front/tcp_clients.hh"
#include "front/tcp_front.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <array>

using namespace std::chrono_literals;
using dotproxy::test::answer_to;
using dotproxy::test::closed;
using dotproxy::test::connect;
using dotproxy::test::exchange;
using dotproxy::test::serve;

namespace {

/// The other worker has so many clients; this one has seen it.
void others_have(Rig& rig, std::uint64_t count) {
    rig.counters.slot(1).set(Counter::tcp_clients, count);
    rig.step();
}

/// Whether the client is closed after that time, and not a millisecond before.
void assert_closed_after(Rig& rig, TcpClient& client, std::chrono::milliseconds time) {
    const std::uint64_t before = rig.count(Counter::tcp_clients);
    rig.pass(time - 1ms);
    assert_int_equal(rig.count(Counter::tcp_clients), before);
    assert_false(client.is_closed());
    rig.pass(1ms);
    assert_true(closed(rig, client));
}

struct Level {
    std::uint64_t others;
    std::chrono::milliseconds idle;
    std::chrono::milliseconds first_query;
};

// Of 64 places, with one client here.
constexpr std::array levels{Level{.others = 31, .idle = 10s, .first_query = 10s}, // half is free
                            Level{.others = 32, .idle = 2500ms, .first_query = 2500ms},
                            Level{.others = 47, .idle = 2500ms, .first_query = 2500ms}, // a quarter
                            Level{.others = 48, .idle = 500ms, .first_query = 500ms},
                            Level{.others = 63, .idle = 500ms, .first_query = 500ms}};

// limits 37; what is announced (RFC 7828) is what holds.
void test_idle_time_when_places_are_scarce_then_shorter(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    for (const Level& level : levels) {
        others_have(rig, 0);
        const auto client = connect(rig);
        others_have(rig, level.others);
        assert_int_equal(*rig.tcp().channel({}, {}).keepalive, level.idle / 100ms);
        exchange(rig, *client, 1);
        assert_closed_after(rig, *client, level.idle);
    }
    assert_int_equal(rig.count(Counter::tcp_idle_closed), levels.size());
}

// limits 37: who has not asked anything yet has no more.
void test_first_query_time_when_places_are_scarce_then_shorter(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    for (const Level& level : levels) {
        others_have(rig, 0);
        const auto client = connect(rig);
        others_have(rig, level.others);
        assert_closed_after(rig, *client, level.first_query);
    }
    assert_int_equal(rig.count(Counter::tcp_timed_out), levels.size());
}

// limits 37: as many go as there are too many, those first that were idle longest.
void test_idle_clients_when_places_become_scarce_then_enough_of_them_go(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto oldest = connect(rig);
    const auto newest = connect(rig);
    exchange(rig, *oldest, 1);
    rig.pass(1s);
    exchange(rig, *newest, 2);
    rig.pass(3s);
    others_have(rig, 31); // one more than a half is taken
    assert_true(closed(rig, *oldest));
    assert_int_equal(*rig.tcp().channel({}, {}).keepalive, 100);
    rig.pass(6999ms);
    assert_false(newest->is_closed());
    rig.pass(1ms);
    assert_true(closed(rig, *newest));
}

// limits 37: time is not idle while an answer is due, however scarce places are.
void test_busy_client_when_places_are_scarce_then_it_stays(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto client = connect(rig);
    client->send(query("slow.example", 1));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    others_have(rig, 63);
    rig.pass(2s);
    resolver.answer(resolver.take());
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), 1);
    assert_closed_after(rig, *client, 500ms);
}

// limits 36: for the client this is quicker, and here nothing is left of it.
void test_client_when_it_is_refused_then_reset(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto idle = connect(rig);
    others_have(rig, 63);
    rig.pass(500ms);
    assert_true(closed(rig, *idle));
    assert_false(idle->is_reset());
    others_have(rig, 64);
    const auto refused = connect(rig);
    assert_true(closed(rig, *refused));
    assert_true(refused->is_reset());
    assert_int_equal(rig.count(Counter::tcp_refused), 1);
}

Message response() {
    Message made = query("www.example", 5);
    made[2] |= 0x80U;
    return made;
}

Message with_opcode(std::uint8_t opcode) {
    Message made = query("www.example", 6);
    made[2] = static_cast<std::uint8_t>(opcode << 3U);
    return made;
}

/// No question, and more behind it than the header says.
Message malformed() {
    Message made = query("www.example", 7);
    made.push_back(0);
    return made;
}

/// The answer with this ID comes, after others.
void await(Rig& rig, TcpClient& client, unsigned id) {
    while (dotproxy::dns::id(answer_to(rig, client)) != id) {
    }
}

// limits 36: who only sends what is no question is no client. What is due is given first.
void test_client_when_ten_frames_in_a_row_are_no_question_then_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const std::array messages{response(), with_opcode(4), malformed()};
    const auto client = connect(rig);
    for (std::size_t i = 0; i < 9; ++i) {
        client->send(messages[i % messages.size()]);
    }
    client->send(query("www.example", 1)); // which ends the row
    await(rig, *client, 1);
    resolver.answers = false;
    client->send(query("due.example", 2));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    for (std::size_t i = 0; i < 9; ++i) {
        client->send(messages[i % messages.size()]);
        rig.step();
    }
    assert_int_equal(rig.count(Counter::tcp_nonsense), 0);
    client->send(messages[0]);
    client->send(query("behind.example", 3));
    assert_true(rig.until([&] { return rig.count(Counter::tcp_nonsense) == 1; }));
    assert_false(client->is_closed());
    resolver.answer(resolver.take());
    await(rig, *client, 2);
    assert_true(closed(rig, *client));
    assert_int_equal(resolver.asked_in_all, 2);
}

/// More questions than fit in the client's kernel, and far less than fit in ours.
std::unique_ptr<TcpClient> pipelining(Rig& rig) {
    serve(rig);
    auto client = connect(rig, 4096);
    for (int i = 0; i < 150; ++i) {
        client->send(query("localhost", 1));
    }
    assert_true(rig.until([&] { return rig.count(Counter::tcp_answers) == 150; }));
    return client;
}

// limits 37: one that never reads is closed, whatever the kernel still takes for it.
void test_client_when_it_asks_now_and_then_and_never_reads_then_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto client = pipelining(rig);
    rig.pass(9s);
    client->send(query("localhost", 1));
    assert_true(rig.until([&] { return rig.count(Counter::tcp_answers) == 151; }));
    assert_int_equal(rig.count(Counter::tcp_clients), 1);
    // Where its kernel had room for all that was written first, it has another write time.
    for (int i = 0; i < 3 && rig.count(Counter::tcp_clients) > 0; ++i) {
        rig.pass(5s);
        if (rig.count(Counter::tcp_clients) > 0) {
            client->send(query("localhost", 1));
            rig.step();
        }
    }
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 0; }));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 1);
    assert_true(client->is_reset()); // so that nothing is kept for it
}

void test_client_when_it_reads_all_of_little_then_it_stays(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto client = pipelining(rig);
    for (int i = 0; i < 12; ++i) {
        while (!client->receive().empty()) {
        }
        rig.pass(i % 2 == 0 ? 4s : 6s); // at the end of a write time as well
        exchange(rig, *client, 7);
    }
    assert_int_equal(rig.count(Counter::tcp_timed_out), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idle_time_when_places_are_scarce_then_shorter,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_first_query_time_when_places_are_scarce_then_shorter,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_idle_clients_when_places_become_scarce_then_enough_of_them_go, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_busy_client_when_places_are_scarce_then_it_stays,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_it_is_refused_then_reset, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_ten_frames_in_a_row_are_no_question_then_closed, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_it_asks_now_and_then_and_never_reads_then_closed, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_it_reads_all_of_little_then_it_stays,
                                        make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("front/streams", tests, make_world, free_world);
}
