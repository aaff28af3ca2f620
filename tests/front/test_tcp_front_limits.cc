// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TCP clients: more of them than fit, more than they may ask, and where they are left at a reload.

#include "front/tcp_front.hh"

#include "front/tcp_clients.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <array>
#include <set>

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::Fd;
using dotproxy::hand_over;
using dotproxy::Protocol;
using dotproxy::take_over;
using dotproxy::test::answer_all;
using dotproxy::test::answer_to;
using dotproxy::test::closed;
using dotproxy::test::connect;
using dotproxy::test::exchange;
using dotproxy::test::name_of;
using dotproxy::test::serve;

namespace {

// L29: beyond its queries in flight a client is not read.
void test_client_when_it_asks_too_much_at_once_then_the_rest_waits(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries_per_client = 4;
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto client = connect(rig);
    for (std::uint16_t id = 0; id < 10; ++id) {
        client->send(query(name_of(id), id));
    }
    assert_true(rig.until([&] { return resolver.asked.size() == 4; }));
    for (int i = 0; i < 5; ++i) {
        rig.step();
    }
    rig.pass(10ms);
    assert_int_equal(resolver.asked_in_all, 4);
    std::set<unsigned> ids;
    for (std::size_t answered = 0; answered < 10; ++answered) {
        assert_true(rig.until([&] { return !resolver.asked.empty(); }));
        assert_true(resolver.asked.size() <= 4);
        resolver.answer(resolver.take());
        ids.insert(dotproxy::dns::id(answer_to(rig, *client)));
    }
    assert_int_equal(ids.size(), 10);
}

/// Large answers to a client that does not read them, until the worker does not take its queries
/// any more. Returns how many it took.
std::size_t stuff(Rig& rig, Resolver& resolver, TcpClient& client) {
    resolver.answers = false;
    for (std::uint16_t id = 0; id < 100; ++id) {
        client.send(query(name_of(id), id, dotproxy::dns::type::txt));
    }
    assert_true(rig.until([&] { return resolver.asked.size() == 2; }));
    return answer_all(rig, resolver, 60000);
}

// L29: a client that does not read is not read; what is held for it is bounded.
void test_client_when_it_does_not_read_then_not_read_and_closed_after_10_s(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries_per_client = 2;
    Resolver& resolver = serve(rig);
    const auto client = connect(rig, 4096);
    const std::size_t taken = stuff(rig, resolver, *client);
    assert_in_range(taken, 2, 99); // the kernel's buffers hold some of it, the worker little more
    rig.pass(9999ms);
    rig.step();
    assert_int_equal(rig.count(Counter::tcp_clients), 1);
    assert_int_equal(resolver.asked_in_all, taken);
    rig.pass(1ms);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 0; }));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 1);
}

void test_client_when_it_reads_at_last_then_it_gets_everything(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries_per_client = 2;
    Resolver& resolver = serve(rig);
    const auto client = connect(rig, 4096);
    stuff(rig, resolver, *client);
    resolver.answers = true;
    rig.pass(9s);
    std::set<unsigned> ids;
    assert_true(rig.until([&] {
        for (Message answer = client->receive(); !answer.empty(); answer = client->receive()) {
            ids.insert(dotproxy::dns::id(answer));
        }
        return ids.size() == 100;
    }));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 0);
    rig.pass(9s); // and it is idle now, not late
    exchange(rig, *client, 7);
}

// RFC 7766, section 6.2.3: at the limit, who was idle longest makes way.
void test_accept_when_at_the_limit_then_the_longest_idle_makes_way(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tcp_clients = 3;
    Resolver& resolver = serve(rig);
    const auto oldest = connect(rig);
    const auto middle = connect(rig);
    const auto busy = connect(rig);
    exchange(rig, *oldest, 1);
    rig.pass(10ms);
    exchange(rig, *middle, 2);
    rig.pass(10ms);
    exchange(rig, *oldest, 3); // now `middle` is idle longest
    resolver.answers = false;
    busy->send(query("busy.example", 4));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    const auto fresh = connect(rig);
    assert_true(closed(rig, *middle));
    assert_false(oldest->is_closed());
    assert_int_equal(rig.count(Counter::tcp_clients), 3);
    resolver.answer(resolver.take());
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *busy)), 4);
    resolver.answers = true;
    exchange(rig, *fresh, 5);
}

void test_accept_when_at_the_limit_and_none_is_idle_then_refused(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tcp_clients = 2;
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto first = connect(rig);
    const auto second = connect(rig);
    first->send(query("a.example", 1));
    second->send(query("b.example", 2));
    assert_true(rig.until([&] { return resolver.asked.size() == 2; }));
    const auto third = connect(rig);
    assert_true(closed(rig, *third));
    assert_int_equal(rig.count(Counter::tcp_refused), 1);
    resolver.answer(resolver.take());
    resolver.answer(resolver.take());
    answer_to(rig, *first);
    answer_to(rig, *second);
}

// The limit is that of all workers together.
void test_accept_when_the_other_workers_have_them_all_then_refused(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    rig.counters.slot(1).set(Counter::tcp_clients, rig.config.limits.tcp_clients);
    const auto client = connect(rig);
    assert_true(closed(rig, *client));
    assert_int_equal(rig.count(Counter::tcp_refused), 1);
}

// Two clients in turn: what one keeps waiting must not keep the other one waiting (L28).
void test_clients_when_one_floods_then_the_other_is_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries_per_client = 2;
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto flood = connect(rig);
    const auto other = connect(rig);
    for (std::uint16_t id = 0; id < 50; ++id) {
        flood->send(query(name_of(id), id));
    }
    assert_true(rig.until([&] { return resolver.asked.size() == 2; }));
    other->send(query("other.example", 77));
    assert_true(rig.until([&] { return resolver.asked.size() == 3; }));
    resolver.answer(resolver.asked.back());
    resolver.asked.pop_back();
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *other)), 77);
}

void test_drain_when_it_ends_then_idle_clients_are_closed_and_busy_ones_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const auto idle = connect(rig);
    exchange(rig, *idle, 1);
    const auto busy = connect(rig);
    resolver.answers = false;
    busy->send(query("busy.example", 2));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    rig.in_turn([&] { rig.tcp().drain(false); });
    assert_true(closed(rig, *idle));
    assert_false(busy->is_closed());
    resolver.answer(resolver.take());
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *busy)), 2);
    assert_true(closed(rig, *busy));
    assert_true(rig.tcp().idle());
}

// L65: at a reload a client notices nothing, not even in the middle of a query.
void test_drain_when_a_successor_serves_then_it_gets_the_clients(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect(rig);
    exchange(rig, *client, 1);
    const Message frame = TcpClient::frame(query("www.example", 2));
    client->send_raw(std::span{frame}.first(20));
    rig.step();
    rig.in_turn([&] { rig.tcp().drain(true); });
    assert_true(rig.until([&] { return rig.tcp().idle(); }));
    assert_int_equal(rig.count(Counter::tcp_handed_over), 1);
    std::array<std::uint8_t, 1024> room{};
    std::size_t size = 0;
    const Fd taken = take_over(rig.handover, room, size);
    assert_true(bool{taken});
    assert_int_equal(size, 20);
    assert_true(std::equal(frame.begin(), frame.begin() + 20, room.begin()));
    assert_false(client->is_closed());
}

void test_handover_then_what_was_read_of_a_query_is_completed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect(rig); // the worker's own
    const Message frame = TcpClient::frame(query("www.example", 2));
    const auto older = dotproxy::open_listener(Protocol::tcp, *Address::parse("127.0.0.1", 0));
    Address address;
    socklen_t size = Address::capacity;
    ::getsockname(older.socket.get(), address.data(), &size);
    TcpClient far{address};
    {
        const Fd near{
            ::accept4(older.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        assert_true(hand_over(rig.handover, near.get(), std::span{frame}.first(20)));
    }
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 2; }));
    assert_int_equal(far.send_raw(std::span{frame}.subspan(20)), frame.size() - 20);
    Message answer;
    assert_true(rig.until([&] { return !(answer = far.receive()).empty(); }));
    assert_int_equal(dotproxy::dns::id(answer), 2);
    assert_int_equal(rig.count(Counter::tcp_accepted), 1);
}

// limits 22 and 50: who is blocked loses its connections, and gets none; nobody else does.
void test_clients_when_blocked_then_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect(rig);
    exchange(rig, *client, 1);
    rig.limits.blocked().write(std::array{*dotproxy::Prefix::parse("127.9.0.0/16")});
    exchange(rig, *client, 2);
    rig.limits.blocked().write(std::array{*dotproxy::Prefix::parse("127.0.0.0/8")});
    assert_true(closed(rig, *client));
    const auto next = connect(rig);
    assert_true(closed(rig, *next));
    assert_int_equal(rig.count(Counter::blocked_refused), 2);
    rig.limits.blocked().write({});
    const auto last = connect(rig);
    exchange(rig, *last, 3);
}

/// A connection that an older worker had, which wrote so much that nobody reads.
TcpClient adopt_deaf(Rig& rig) {
    const auto older = dotproxy::open_listener(Protocol::tcp, *Address::parse("127.0.0.1", 0));
    Address address;
    socklen_t size = Address::capacity;
    ::getsockname(older.socket.get(), address.data(), &size);
    TcpClient far{address, 4096};
    const Fd near{::accept4(older.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    const Message answers(100'000);
    assert_true(::send(near.get(), answers.data(), answers.size(), MSG_NOSIGNAL) > 10'000);
    assert_true(hand_over(rig.handover, near.get(), {}));
    return far;
}

// limits 37: also when that was said before a reload.
void test_handover_when_client_never_reads_then_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const TcpClient far = adopt_deaf(rig);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 1; }));
    far.send(query("localhost", 1));
    assert_true(rig.until([&] { return rig.count(Counter::tcp_answers) == 1; }));
    rig.pass(9s);
    far.send(query("localhost", 2));
    assert_true(rig.until([&] { return rig.count(Counter::tcp_answers) == 2; }));
    rig.pass(11s);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 0; }));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_client_when_it_asks_too_much_at_once_then_the_rest_waits, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_it_does_not_read_then_not_read_and_closed_after_10_s, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_it_reads_at_last_then_it_gets_everything,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_accept_when_at_the_limit_then_the_longest_idle_makes_way, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_accept_when_at_the_limit_and_none_is_idle_then_refused,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_accept_when_the_other_workers_have_them_all_then_refused, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_clients_when_one_floods_then_the_other_is_answered,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_drain_when_it_ends_then_idle_clients_are_closed_and_busy_ones_answered, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_drain_when_a_successor_serves_then_it_gets_the_clients,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_handover_then_what_was_read_of_a_query_is_completed,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_handover_when_client_never_reads_then_closed, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_clients_when_blocked_then_closed, make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("front/tcp_front_limits", tests, make_world, free_world);
}
