// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What a turn does for streams is bounded, and so is how long everybody else waits for it (limits
// 30). The budget is the test's: with no time at all, a turn ends where the clock is first read.

#include "front/tcp_clients.hh"
#include "front/tcp_front.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <algorithm>
#include <string>
#include <sys/resource.h>
#include <vector>

using namespace std::chrono_literals;
using dotproxy::StreamBudget;
using dotproxy::test::connect;
using dotproxy::test::serve;

namespace {

/// So many questions in one piece, answered here without asking anybody.
void pipeline(const TcpClient& client, std::size_t count) {
    const Message one = TcpClient::frame(query("localhost", 1));
    Message all;
    for (std::size_t i = 0; i < count; ++i) {
        all.insert(all.end(), one.begin(), one.end());
    }
    assert_int_equal(client.send_raw(all), all.size());
}

/// How many answers have come to the client since.
std::size_t answers(TcpClient& client) {
    std::size_t count = 0;
    while (!client.receive().empty()) {
        ++count;
    }
    return count;
}

/// A worker whose turns have no time for streams, and clients that it knows.
std::vector<std::unique_ptr<TcpClient>> crowd(Rig& rig, std::size_t count) {
    rig.config.limits.tcp_clients = static_cast<unsigned>(16 * count);
    serve(rig);
    rig.counters.slot(1).set(Counter::tcp_clients, 2 * count); // the other worker has its share
    rig.streams() = StreamBudget{0ms};
    std::vector<std::unique_ptr<TcpClient>> clients;
    for (std::size_t i = 0; i < count; ++i) {
        clients.push_back(connect(rig));
    }
    for (std::size_t i = 0; i <= count / StreamBudget::look_every; ++i) {
        rig.step(); // each is looked at once when it comes
    }
    return clients;
}

void test_stream_when_it_asks_without_end_then_a_turn_takes_a_part(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto clients = crowd(rig, 1);
    pipeline(*clients[0], 100);
    for (std::uint64_t before = 0; before < 100;) {
        rig.step();
        const std::uint64_t taken = rig.count(Counter::tcp_queries);
        assert_in_range(taken - before, 1, StreamBudget::look_every);
        before = taken;
    }
    assert_int_equal(answers(*clients[0]), 100);
    assert_true(rig.nearest() > rig.now());
}

void test_stream_when_time_is_left_then_a_turn_takes_all(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto clients = crowd(rig, 1);
    rig.streams() = StreamBudget{1ms}; // and the clock stands still
    pipeline(*clients[0], 100);
    rig.step();
    assert_int_equal(rig.count(Counter::tcp_queries), 100);
}

// All are served in turn: who did not come to it is the first in the next turn.
void test_streams_when_all_ask_without_end_then_each_has_its_turn(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto clients = crowd(rig, 3);
    for (const auto& client : clients) {
        pipeline(*client, 400);
    }
    rig.step();
    for (const auto& client : clients) {
        answers(*client);
    }
    for (int round = 0; round < 8; ++round) {
        std::vector<std::size_t> got(clients.size());
        for (std::size_t turn = 0; turn < clients.size(); ++turn) {
            rig.step();
            for (std::size_t i = 0; i < clients.size(); ++i) {
                got[i] += answers(*clients[i]);
            }
        }
        for (const std::size_t count : got) {
            assert_in_range(count, 1, StreamBudget::look_every);
        }
    }
}

// Nor has one of them a turn for itself while there is time.
void test_streams_when_one_asks_without_end_then_others_come_in_between(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries_per_client = 1000;
    const auto clients = crowd(rig, 2);
    Resolver& resolver = *rig.resolvers[0];
    resolver.answers = false;
    rig.streams() = StreamBudget{1h};
    for (int i = 0; i < 400; ++i) {
        clients[0]->send(query("g" + std::to_string(i) + ".example", 1));
    }
    clients[1]->send(query("calm.example", 2));
    assert_true(rig.until([&] { return resolver.asked.size() == 401; }));
    const auto calm = std::ranges::find(resolver.asked, std::string{"calm.example"}, &Asked::name);
    assert_in_range(calm - resolver.asked.begin(), 0, 256);
}

// The part of a source does not grow with its connections: who has few waits for one of them, and
// not for all.
void test_stream_when_another_source_has_a_crowd_then_soon(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto clients = crowd(rig, 40);
    TcpClient calm{rig.tcp_address(), 0, dotproxy::Address::parse("127.0.0.2", 0)};
    const std::uint64_t before = rig.count(Counter::tcp_accepted);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_accepted) > before; }));
    for (const auto& client : clients) {
        pipeline(*client, 200);
    }
    rig.step();
    for (int round = 0; round < 5; ++round) {
        calm.send(query("localhost", 7));
        std::size_t turns = 0;
        while (calm.receive().empty()) {
            rig.step();
            ++turns;
        }
        assert_in_range(turns, 1, 4);
    }
}

// A question over UDP is answered in the turn after it came, whatever streams wait.
void test_datagram_when_streams_ask_without_end_then_answered_at_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto clients = crowd(rig, 4);
    const UdpClient calm{rig.udp_address()};
    for (const auto& client : clients) {
        pipeline(*client, 400);
    }
    for (int i = 0; i < 20; ++i) {
        calm.send(query("localhost", 7));
        rig.step();
        assert_false(calm.receive().empty());
        assert_true(rig.tcp().behind());
    }
}

// There are more of them than the kernel reports at once: those that wait for their turn are not
// reported again, so that the datagram is.
void test_datagram_when_a_thousand_streams_wait_then_answered_at_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rlimit limit{}; // both ends of each connection are this process's
    assert_int_equal(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    const auto clients = crowd(rig, 1000);
    const UdpClient calm{rig.udp_address()};
    for (const auto& client : clients) {
        pipeline(*client, 40);
    }
    for (int i = 0; i < 10; ++i) {
        rig.step(); // until the kernel has reported all of them twice
    }
    for (int i = 0; i < 20; ++i) {
        calm.send(query("localhost", 7));
        rig.step();
        assert_false(calm.receive().empty());
        assert_true(rig.tcp().behind());
    }
    assert_true(rig.until([&] { return rig.count(Counter::tcp_queries) == 40'000; }));
    assert_true(rig.until([&] { return !rig.tcp().behind(); }));
    assert_true(rig.nearest() > rig.now());
}

// Who waits is heard of all the same when it goes.
void test_stream_when_it_leaves_while_it_waits_then_it_is_gone(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto clients = crowd(rig, 3);
    for (const auto& client : clients) {
        pipeline(*client, 100);
    }
    rig.step();
    clients[2]->reset();
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 2; }));
    assert_true(rig.until([&] { return rig.count(Counter::tcp_queries) >= 200; }));
    assert_true(rig.until([&] { return !rig.tcp().behind(); }));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_streams_when_one_asks_without_end_then_others_come_in_between, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_stream_when_it_asks_without_end_then_a_turn_takes_a_part, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_stream_when_time_is_left_then_a_turn_takes_all,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_streams_when_all_ask_without_end_then_each_has_its_turn, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_datagram_when_streams_ask_without_end_then_answered_at_once, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_datagram_when_a_thousand_streams_wait_then_answered_at_once, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_stream_when_another_source_has_a_crowd_then_soon,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_stream_when_it_leaves_while_it_waits_then_it_is_gone,
                                        make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("front/turns", tests, make_world, free_world);
}
