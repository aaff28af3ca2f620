// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Clients over TLS when there are many: the seats in which they shake hands, and how a worker that
// drains parts from them.

#include "front/handshakes.hh"
#include "front/tls_clients.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <sys/socket.h>
#include <vector>

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::Fd;
using dotproxy::Handed;
using dotproxy::Handshakes;
using dotproxy::Protocol;
using dotproxy::Standing;
using dotproxy::TlsFailure;
using dotproxy::test::answer_to;
using dotproxy::test::closed;
using dotproxy::test::connect_tls;
using dotproxy::test::exchange;
using dotproxy::test::left_in_order;
using dotproxy::test::serve;
using dotproxy::test::shake;
using dotproxy::test::TlsClient;

namespace {

Address peer(unsigned number) {
    return *Address::parse("192.0.2." + std::to_string(number), 4711);
}

// limits 33 and 38: one address never has more than there are left.
void test_seats_when_one_address_wants_all_then_half(void** /*state*/) {
    Handshakes handshakes;
    std::vector<Handshakes::Seat> seats;
    for (unsigned i = 0; i < 2 * Handshakes::most; ++i) {
        if (auto seat = handshakes.enter(peer(1), Standing{})) {
            seats.push_back(std::move(seat));
        }
    }
    assert_int_equal(seats.size(), Handshakes::most / 2);
    assert_int_equal(handshakes.taken(), Handshakes::most / 2);
    assert_true(bool{handshakes.enter(peer(2), Standing{})}); // which is given back at once
    assert_int_equal(handshakes.taken(), Handshakes::most / 2);
    seats.pop_back();
    assert_int_equal(handshakes.left(), 2);
    assert_true(bool{handshakes.enter(peer(1), Standing{})});
}

void test_seats_when_all_are_taken_then_none(void** /*state*/) {
    Handshakes handshakes;
    std::vector<Handshakes::Seat> seats;
    for (unsigned i = 0; i < Handshakes::most; ++i) {
        seats.push_back(handshakes.enter(peer(i), Standing{}));
        assert_true(bool{seats.back()});
    }
    assert_true(handshakes.full());
    assert_false(bool{handshakes.enter(peer(200), Standing{})});
    assert_int_equal(handshakes.taken(), Handshakes::most);
    seats.clear();
    assert_int_equal(handshakes.taken(), 0);
    // This host may have them all.
    const Address here = *Address::parse("127.0.0.1", 4711);
    for (unsigned i = 0; i < Handshakes::most; ++i) {
        seats.push_back(handshakes.enter(here, Standing{}));
        assert_true(bool{seats.back()});
    }
}

/// A client whose hello is answered, and who says no more.
std::unique_ptr<TlsClient> connect_and_stall(Rig& rig) {
    const std::uint64_t before = rig.count(Counter::tls_handshaking);
    auto client = connect_tls(rig);
    client->step();
    assert_true(rig.until([&] { return rig.count(Counter::tls_handshaking) > before; }));
    return client;
}

// E26, limits 38: the 65th waits, and gets the seat of who has had one for half a second.
void test_handshakes_when_all_seats_are_taken_then_the_slowest_gives_way(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tcp_clients = rig.config.limits.tls_clients = 1000;
    serve(rig);
    std::vector<std::unique_ptr<TlsClient>> stalled;
    for (unsigned i = 0; i < Handshakes::most; ++i) {
        stalled.push_back(connect_and_stall(rig));
    }
    const auto next = connect_tls(rig);
    for (int i = 0; i < 20; ++i) {
        next->step();
        rig.step();
    }
    assert_int_equal(rig.count(Counter::tls_handshaking), Handshakes::most);
    assert_false(next->tls.shaken);
    rig.pass(499ms);
    next->step();
    assert_false(next->tls.shaken);
    assert_int_equal(rig.count(TlsFailure::timeout), 0);
    rig.pass(1ms);
    shake(rig, *next);
    exchange(rig, *next, 1);
    assert_true(closed(rig, stalled.front()->socket));
    assert_int_equal(rig.count(TlsFailure::timeout), 1); // as many as were needed
    // One that goes on after all, and one that leaves, make room as well.
    shake(rig, *stalled.at(1));
    const auto after = connect_tls(rig);
    shake(rig, *after);
    assert_int_equal(rig.count(TlsFailure::timeout), 1);
}

// The line does not grow for who leaves it: the last one of many is served as soon as there is a
// seat.
void test_handshakes_when_those_in_line_leave_then_the_line_goes_on(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tcp_clients = rig.config.limits.tls_clients = 1000;
    serve(rig);
    rig.counters.slot(1).set(Counter::tcp_clients, 200); // the other worker has its share
    std::vector<std::unique_ptr<TlsClient>> stalled;
    for (unsigned i = 0; i < Handshakes::most; ++i) {
        stalled.push_back(connect_and_stall(rig));
    }
    for (int i = 0; i < 500; ++i) {
        const std::uint64_t before = rig.count(TlsFailure::closed);
        const auto gone = connect_tls(rig);
        gone->step();
        rig.step();
        rig.step();
        gone->socket.reset();
        assert_true(rig.until([&] { return rig.count(TlsFailure::closed) == before + 1; }));
    }
    const auto last = connect_tls(rig);
    last->step();
    rig.step();
    stalled.front()->socket.reset();
    shake(rig, *last);
    exchange(rig, *last, 1);
    assert_int_equal(rig.count(TlsFailure::timeout), 0);
}

// A client with a session is not behind those who shake hands.
void test_handshakes_when_many_arrive_then_each_is_served(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tcp_clients = rig.config.limits.tls_clients = 1000;
    serve(rig);
    const auto first = connect_tls(rig);
    exchange(rig, *first, 1);
    std::vector<std::unique_ptr<TlsClient>> crowd;
    crowd.reserve(50);
    for (int i = 0; i < 50; ++i) {
        crowd.push_back(connect_tls(rig));
        crowd.back()->step();
    }
    exchange(rig, *first, 2);
    for (const auto& client : crowd) {
        client->send_when_shaken(query("www.example", 3));
    }
    assert_true(rig.until([&] {
        bool all = true;
        for (const auto& client : crowd) {
            client->step();
            all = all && client->tls.received.size() > 2;
        }
        return all;
    }));
    assert_int_equal(rig.count(Counter::tls_handshakes), 51);
    assert_int_equal(rig.count(Counter::tls_handshaking), 0);
}

// E25: where a turn has no time for streams, one handshake is begun in it; who has a session comes
// before, and UDP is answered in each.
void test_handshakes_when_a_turn_has_no_time_then_one_in_each(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto known = connect_tls(rig);
    exchange(rig, *known, 1);
    rig.streams() = dotproxy::StreamBudget{0ms};
    std::vector<std::unique_ptr<TlsClient>> crowd;
    crowd.reserve(50);
    for (int i = 0; i < 10; ++i) {
        crowd.push_back(connect_tls(rig));
    }
    for (const auto& client : crowd) {
        client->step(); // all at once
    }
    known->send(query("localhost", 2));
    const UdpClient other{rig.udp_address()};
    for (std::uint64_t turn = 1; turn <= crowd.size(); ++turn) {
        other.send(query("localhost", 7));
        rig.step();
        assert_int_equal(rig.count(Counter::tls_handshaking), turn);
        assert_int_equal(rig.count(Counter::tls_queries), 2);
        assert_false(other.receive().empty());
    }
    rig.step();
    assert_true(rig.nearest() > rig.now());
    for (const auto& client : crowd) {
        shake(rig, *client);
    }
}

void test_drain_when_it_ends_then_idle_clients_are_told_and_busy_ones_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const auto idle = connect_tls(rig);
    exchange(rig, *idle, 1);
    const auto shaking = connect_and_stall(rig);
    const auto busy = connect_tls(rig);
    shake(rig, *busy);
    resolver.answers = false;
    busy->send(query("busy.example", 2));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    rig.in_turn([&] { rig.tcp().drain(false); });
    assert_true(left_in_order(rig, *idle));
    assert_true(closed(rig, shaking->socket));
    assert_false(busy->tls.closed);
    resolver.answer(resolver.take());
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *busy)), 2);
    assert_true(left_in_order(rig, *busy));
    assert_true(rig.tcp().idle());
}

// E62: they are served on, and leave one by one in the first half of the time to drain, 10 s.
void test_drain_when_a_successor_serves_then_they_leave_one_by_one(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    std::vector<std::unique_ptr<TlsClient>> clients;
    for (std::uint16_t id = 0; id < 5; ++id) {
        clients.push_back(connect_tls(rig));
        exchange(rig, *clients.back(), id);
    }
    rig.in_turn([&] { rig.tcp().drain(true); });
    for (std::size_t gone = 0; gone < 5; ++gone) {
        for (const auto& client : clients) {
            if (!client->tls.closed) {
                exchange(rig, *client, 9);
            }
        }
        rig.pass(1s - 1ms);
        assert_int_equal(rig.count(Counter::tls_clients), 5 - gone);
        rig.pass(1ms);
        assert_true(rig.until([&] { return rig.count(Counter::tls_clients) == 4 - gone; }));
        for (const auto& client : clients) {
            client->step();
        }
    }
    for (const auto& client : clients) {
        assert_true(left_in_order(rig, *client));
    }
    assert_true(rig.tcp().idle());
    assert_int_equal(rig.count(Counter::tcp_handed_over), 0);
}

// E62: who is asked to leave has its answers first, and a handshake that is under way is finished.
void test_drain_when_a_client_waits_for_an_answer_then_it_leaves_after_it(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto client = connect_tls(rig);
    shake(rig, *client);
    client->send(query("slow.example", 1));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    const auto late = connect_and_stall(rig);
    rig.in_turn([&] { rig.tcp().drain(true); });
    shake(rig, *late);
    rig.pass(4s);
    assert_false(client->socket.is_closed());
    resolver.answer(resolver.take());
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), 1);
    assert_true(left_in_order(rig, *client));
    rig.pass(1s);
    assert_true(left_in_order(rig, *late));
    assert_true(rig.tcp().idle());
}

// L28: records with nothing in them are work as well, and others come in between.
void test_records_when_nothing_is_in_them_then_a_turn_takes_a_part(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    std::vector<std::unique_ptr<TlsClient>> clients;
    clients.reserve(3);
    for (std::uint16_t id = 0; id < 3; ++id) {
        clients.push_back(connect_tls(rig));
        exchange(rig, *clients.back(), id);
    }
    rig.streams() = dotproxy::StreamBudget{0ms};
    for (const auto& client : clients) {
        while (client->tls.output.size() < 20'000) {
            dotproxy::tls::test::must(
                static_cast<int>(gnutls_record_send2(client->tls.session(), "", 0, 100, 0)),
                "empty record");
        }
        client->step();
    }
    rig.step();
    assert_true(rig.tcp().behind());
    assert_true(rig.until([&] { return !rig.tcp().behind() && rig.nearest() > rig.now(); }));
    for (const auto& client : clients) {
        exchange(rig, *client, 9);
    }
}

// What no worker has listened to yet is handed over where a listener goes: whether it speaks TLS is
// said by where it came to. What was served goes on as it was.
void test_handover_when_nobody_listened_yet_then_the_address_says_what_it_speaks(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const auto gone = dotproxy::open_listener(Protocol::tcp, *Address::parse("127.0.0.2", 0));
    Address address;
    socklen_t size = Address::capacity;
    ::getsockname(gone.socket.get(), address.data(), &size);
    rig.config.listen.push_back({.address = address, .udp = false, .tcp = false, .dot = true});
    serve(rig);
    for (const auto kind : {Handed::Kind::newcomer, Handed::Kind::client}) {
        const std::uint64_t before = rig.count(Counter::tls_handshakes);
        TlsClient client{address};
        {
            const Fd near{
                ::accept4(gone.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
            assert_true(hand_over(rig.handover, near.get(), {}, {.kind = kind}));
        }
        if (kind == Handed::Kind::newcomer) {
            exchange(rig, client, 1);
        } else {
            client.socket.send(query("www.example", 2));
            Message answer;
            assert_true(rig.until([&] { return !(answer = client.socket.receive()).empty(); }));
            assert_int_equal(dotproxy::dns::id(answer), 2);
        }
        assert_int_equal(rig.count(Counter::tls_handshakes) - before,
                         kind == Handed::Kind::newcomer ? 1 : 0);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_seats_when_one_address_wants_all_then_half),
        cmocka_unit_test(test_seats_when_all_are_taken_then_none),
        cmocka_unit_test_setup_teardown(
            test_handshakes_when_all_seats_are_taken_then_the_slowest_gives_way, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_handshakes_when_those_in_line_leave_then_the_line_goes_on, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_handshakes_when_many_arrive_then_each_is_served,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_handshakes_when_a_turn_has_no_time_then_one_in_each,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_drain_when_it_ends_then_idle_clients_are_told_and_busy_ones_answered, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_drain_when_a_successor_serves_then_they_leave_one_by_one, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_drain_when_a_client_waits_for_an_answer_then_it_leaves_after_it, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_records_when_nothing_is_in_them_then_a_turn_takes_a_part, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_handover_when_nobody_listened_yet_then_the_address_says_what_it_speaks, make_rig,
            free_rig),
    };
    return cmocka_run_group_tests_name("front/tls_turns", tests, make_world, free_world);
}
