// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TCP clients that read slowly or not at all: what they may cost, in time and memory (L26, L29).

#include "front/tcp_front.hh"

#include "front/tcp_clients.hh"
#include "relay/cache_rig.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <vector>

using namespace std::chrono_literals;
using dotproxy::Clock;
using dotproxy::hand_over;
using dotproxy::test::answer_all;
using dotproxy::test::answer_with;
using dotproxy::test::connect;
using dotproxy::test::serve;

namespace {

constexpr std::size_t large = 60000;
constexpr int small_buffer = 4096;

/// One upstream that leaves the answering to the test.
Resolver& serve_by_hand(Rig& rig) {
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    return resolver;
}

Message question(std::size_t number) {
    return query("n" + std::to_string(number) + ".example", static_cast<std::uint16_t>(number),
                 dotproxy::dns::type::txt);
}

void ask(TcpClient& client, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        client.send(question(i));
    }
}

/// A client with more to read than the kernel takes, that asked more than is taken from it.
std::unique_ptr<TcpClient> stuffed(Rig& rig) {
    rig.config.limits.queries_per_client = 2;
    Resolver& resolver = serve_by_hand(rig);
    auto client = connect(rig, small_buffer);
    ask(*client, 100);
    assert_true(rig.until([&] { return resolver.asked.size() == 2; }));
    assert_in_range(answer_all(rig, resolver, large), 2, 99);
    return client;
}

/// Reads so many octets in all, as they come; what is asked thereupon is answered.
void read(Rig& rig, const TcpClient& client, std::size_t octets) {
    assert_true(rig.until([&] { return (octets -= client.discard(octets)) == 0; }));
    answer_all(rig, *rig.resolvers[0], large);
}

// A slow link is no fault: three thousand octets a second for as long as it takes.
void test_client_when_it_reads_slowly_but_steadily_then_it_stays(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto client = stuffed(rig);
    for (int i = 0; i < 20; ++i) {
        read(rig, *client, 10'000);
        rig.pass(3s);
    }
    assert_int_equal(rig.count(Counter::tcp_clients), 1);
    assert_int_equal(rig.count(Counter::tcp_timed_out), 0);
}

// L26: it does read, but not as one who wants the answers.
void test_client_when_it_reads_octet_by_octet_then_closed_after_10_s(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto client = stuffed(rig);
    for (int i = 0; i < 3; ++i) {
        rig.pass(3s);
        read(rig, *client, 1);
    }
    rig.pass(999ms);
    assert_int_equal(rig.count(Counter::tcp_clients), 1);
    rig.pass(1ms);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 0; }));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 1);
}

// Nor does what it read once buy it more than the time it was read in.
void test_client_when_it_stops_to_read_then_closed_after_another_10_s(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto client = stuffed(rig);
    rig.pass(5s);
    read(rig, *client, 40'000);
    rig.pass(5s);
    assert_int_equal(rig.count(Counter::tcp_clients), 1);
    rig.pass(10s);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 0; }));
}

// L29: what was asked before the first answer came is bounded as well.
void test_answers_when_a_mebibyte_is_unread_then_the_client_is_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries_per_client = 128;
    Resolver& resolver = serve_by_hand(rig);
    const auto greedy = connect(rig, small_buffer);
    ask(*greedy, 100);
    assert_true(rig.until([&] { return resolver.asked.size() == 100; }));
    answer_all(rig, resolver, large);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 0; }));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 1);
    assert_in_range(rig.count(Counter::tcp_answers), 17, 99);
    assert_true(rig.until([&] { return rig.relay().idle(); }));
    assert_int_equal(rig.count(Counter::tcp_answers) + rig.count(Counter::clients_gone), 99);
}

// L29: many clients, none of which has more unread than it may. Who reads is not made to pay for
// it.
void test_answers_when_64_mebibytes_are_unread_then_those_that_hold_most_are_closed(void** state) {
    constexpr std::size_t clients = 100;
    constexpr std::size_t each = 17; // below a mebibyte, even if the kernel took none of them
    static_assert(each * large < 1U << 20U);
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tcp_clients = 1000;
    Resolver& resolver = serve_by_hand(rig);
    rig.counters.slot(1).set(Counter::tcp_clients, 2 * clients); // the other worker has its share
    std::vector<std::unique_ptr<TcpClient>> deaf;
    std::vector<std::unique_ptr<TcpClient>> modest;
    for (std::size_t i = 0; i < clients; ++i) {
        deaf.push_back(connect(rig, small_buffer));
        ask(*deaf.back(), each); // the same names: each is asked once for all (C95)
        if (i % 2 == 0) {        // one answer among those that come when all is taken
            modest.push_back(connect(rig, small_buffer));
            modest.back()->send(question(each - 1 - i / 2 % 5));
        }
    }
    const std::uint64_t asked = clients * each + modest.size();
    assert_true(rig.until([&] { return rig.count(Counter::tcp_queries) == asked; }));
    answer_all(rig, resolver, large);
    assert_true(rig.until([&] { return rig.relay().idle(); }));
    for (const auto& client : modest) {
        assert_true(rig.until([&] { return !client->receive().empty(); }));
    }
    const std::uint64_t left = rig.count(Counter::tcp_clients) - modest.size();
    assert_in_range(rig.count(Counter::tcp_timed_out), 1, clients - 1);
    assert_int_equal(left + rig.count(Counter::tcp_timed_out), clients);
    assert_true(left * each * large < (72U << 20U) + left * 200'000); // and what the kernel holds
    deaf.clear();
    resolver.answers = true;
    modest[0]->send(query("www.example", 7));
    assert_true(rig.until([&] { return !modest[0]->receive().empty(); }));
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == modest.size(); }));
}

/// A client that has asked for this name, so that the worker knows the answer, of `size` octets.
void know(Rig& rig, Resolver& resolver, TcpClient& client, const Message& query, std::size_t size) {
    client.send(query);
    assert_true(rig.until([&] { return !resolver.asked.empty(); }));
    answer_with(resolver, resolver.take(), size);
    assert_true(rig.until([&] { return !client.receive().empty(); }));
}

/// Has this process have as many descriptors as it may: both ends of each connection are its own.
void raise_descriptor_limit() {
    rlimit limit{};
    assert_int_equal(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/// Takes turns until no answer has come for some.
void settle(Rig& rig) {
    for (int quiet = 0; quiet < 3; ++quiet) {
        const std::uint64_t before = rig.count(Counter::tcp_answers);
        rig.step();
        quiet = rig.count(Counter::tcp_answers) > before ? 0 : quiet;
    }
}

// L29: it may be the one whose known answers are being written: it stands first, and holds as much
// as any other after one of them. It gets no more, and what it held does not count for ever.
void test_answers_when_who_takes_them_is_closed_for_room_then_it_holds_nothing(void** state) {
    constexpr std::size_t most = 65000; // beside which another one is still given
    constexpr std::size_t clients = 530;
    static_assert(clients * (65536 + large + 500) < 64U << 20U); // that none need be closed
    raise_descriptor_limit();
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tcp_clients = 16 * clients;
    rig.config.cache = dotproxy::test::default_cache();
    rig.cache = std::make_shared<const dotproxy::CacheMemory>(rig.config.cache.size, 1);
    Resolver& resolver = serve_by_hand(rig);
    rig.counters.slot(1).set(Counter::tcp_clients, 4 * clients); // the other worker has its share
    TcpClient first{rig.tcp_address()};
    know(rig, resolver, first, question(0), most);
    know(rig, resolver, first, question(1), large);
    Message both = TcpClient::frame(question(0)); // read at once
    std::ranges::copy(TcpClient::frame(query("localhost", 0)), std::back_inserter(both));
    std::vector<std::unique_ptr<TcpClient>> deaf;
    for (std::size_t i = 0; i < clients; ++i) {
        deaf.push_back(connect(rig, small_buffer));
        for (int j = 0; j < 12; ++j) { // more than the kernel takes
            deaf.back()->send(question(1));
        }
    }
    settle(rig);
    // From here on one by one, so that the limit is met in the hands of the first.
    for (std::size_t i = 0; !first.is_closed(); ++i) {
        assert_in_range(deaf.size(), 1, 4 * clients);
        if (i % 6 == 0) {
            deaf.push_back(connect(rig, small_buffer));
        }
        deaf.back()->send(question(1));
        settle(rig);
        first.send_raw(both);
        std::size_t given = 0;
        assert_true(rig.until([&] {
            given += first.receive().empty() ? 0U : 1U;
            return given == 2 || first.is_closed();
        }));
    }
    assert_true(rig.count(Counter::tcp_timed_out) > 1);
    deaf.clear();
    assert_true(rig.until([&] { return rig.tcp().idle(); })); // TcpFront::bury() looks
}

/// Fills the way to the next generation, where nobody takes anything.
void fill_handover(Rig& rig, int connection) {
    const std::vector<std::uint8_t> unread(16384);
    while (hand_over(rig.handover, connection, unread)) {
    }
    while (hand_over(rig.handover, connection, {})) {
    }
}

// L28: a drain that cannot hand over at once rests between its tries.
void test_drain_when_the_handover_is_full_then_the_worker_rests(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    std::vector<std::unique_ptr<TcpClient>> clients;
    for (int i = 0; i < 30; ++i) {
        clients.push_back(connect(rig, small_buffer));
    }
    std::array<int, 2> ends{-1, -1};
    assert_int_equal(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const dotproxy::Fd near{ends[0]};
    const dotproxy::Fd far{ends[1]};
    rig.in_turn([&] {
        rig.tcp().drain(true); // reads the handover for the last time
        fill_handover(rig, near.get());
    });
    assert_int_equal(rig.count(Counter::tcp_handed_over), 0);
    const auto end = rig.now() + 1s;
    int turns = 0;
    for (auto due = rig.nearest(); due <= end; due = rig.nearest()) {
        assert_in_range(++turns, 1, 150); // one in 10 ms for all clients together
        dotproxy::test::set_clock(due);
        rig.step();
    }
    assert_in_range(turns, 50, 150);
    assert_false(rig.tcp().idle());
    std::vector<std::uint8_t> room(131072);
    std::size_t size = 0;
    while (dotproxy::take_over(rig.handover, room, size)) {
    }
    rig.pass(10ms);
    assert_true(rig.until([&] { return rig.tcp().idle(); }));
    assert_int_equal(rig.count(Counter::tcp_handed_over), 30);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_client_when_it_reads_slowly_but_steadily_then_it_stays,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_it_reads_octet_by_octet_then_closed_after_10_s, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_it_stops_to_read_then_closed_after_another_10_s, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_answers_when_a_mebibyte_is_unread_then_the_client_is_closed, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_answers_when_64_mebibytes_are_unread_then_those_that_hold_most_are_closed,
            make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_answers_when_who_takes_them_is_closed_for_room_then_it_holds_nothing, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_drain_when_the_handover_is_full_then_the_worker_rests,
                                        make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("front/tcp_readers", tests, make_world, free_world);
}
