// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Clients over TLS: how they are answered, for how long they have a place, and how it ends.

#include "dns/edns.hh"
#include "front/tcp_front.hh"
#include "front/tls_clients.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

using namespace std::chrono_literals;
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

constexpr const char* tls_1_2 = "NORMAL:-VERS-ALL:+VERS-TLS1.2";

/// A query with an OPT that asks for the time a connection may be idle.
Message query_with_keepalive(std::uint16_t id) {
    dotproxy::dns::test::Bytes rdata;
    rdata.option(dotproxy::dns::option::keepalive);
    dotproxy::dns::test::Message made =
        dotproxy::dns::test::query("www.example").opt(rdata.octets());
    dotproxy::dns::set_id(made.mutable_octets(), id);
    return {made.octets().begin(), made.octets().end()};
}

std::unique_ptr<TlsClient> connect_and_shake(Rig& rig) {
    auto client = connect_tls(rig);
    shake(rig, *client);
    return client;
}

/// Whether the client is left after that time, and not a millisecond before.
void assert_left_after(Rig& rig, TlsClient& client, std::chrono::milliseconds time) {
    rig.pass(time - 1ms);
    assert_false(client.socket.is_closed());
    rig.pass(1ms);
    assert_true(closed(rig, client.socket));
}

void test_client_over_tls_then_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto newer = connect_tls(rig);
    const auto older = connect_tls(rig, tls_1_2);
    for (std::uint16_t id = 1; id < 4; ++id) {
        exchange(rig, *newer, id);
        exchange(rig, *older, id);
    }
    assert_int_equal(rig.count(Counter::tls_handshakes), 2);
    assert_int_equal(rig.count(Counter::tls_resumed), 0);
    assert_int_equal(rig.count(Counter::tls_queries), 6);
    assert_int_equal(rig.count(Counter::tcp_queries), 6);
    assert_int_equal(rig.count(Counter::tls_clients), 2);
    assert_int_equal(rig.count(Counter::tls_handshaking), 0);
}

// E24: who sends an OPT gets answers of one size, and hears the time that holds over TLS (E20,
// E21).
void test_answer_when_it_has_an_opt_then_padded(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_tls(rig);
    client->send(query_with_keepalive(1));
    const Message padded = answer_to(rig, *client);
    assert_int_equal(padded.size(), 468);
    const auto found = dotproxy::dns::test::find_option(padded, dotproxy::dns::option::keepalive);
    assert_true(found.found);
    assert_int_equal(dotproxy::dns::load16(found.data, 0), 300);
    client->send(query("www.example", 2));
    assert_in_range(answer_to(rig, *client).size(), 12, 100);
    // In the clear nothing is gained by it.
    const auto plain = dotproxy::test::connect(rig);
    plain->send(query_with_keepalive(3));
    assert_in_range(answer_to(rig, *plain).size(), 12, 100);
}

// The answers of a turn share a record, as its questions may.
void test_questions_of_a_turn_then_their_answers_in_one_record(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_and_shake(rig);
    exchange(rig, *client,
             1); // from now on it is in the cache of nobody, but the connection is warm
    std::string frames;
    for (std::uint16_t id = 10; id < 20; ++id) {
        Message update = query("www.example", id);
        update[2] = 5 << 3; // NOTIMP, without an upstream
        const Message frame = TcpClient::frame(update);
        frames.append(frame.begin(), frame.end());
        update[2] = 0;
        const Message good = TcpClient::frame(query("localhost", id));
        frames.append(good.begin(), good.end());
    }
    const std::size_t before = client->records;
    client->tls.say(frames);
    for (std::uint16_t id = 10; id < 20; ++id) {
        assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), id);
        assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), id);
    }
    assert_int_equal(client->records - before, 1);
}

void test_octets_when_they_come_one_by_one_then_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_tls(rig);
    client->at_a_time = 1;
    exchange(rig, *client, 7);
    assert_int_equal(rig.count(Counter::tls_handshakes), 1);
}

// L29: what one client asks at once is bounded; the rest waits, decrypted or not.
void test_client_when_it_asks_too_much_at_once_then_the_rest_waits(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries_per_client = 4;
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto client = connect_and_shake(rig);
    for (std::uint16_t id = 0; id < 40; ++id) {
        client->send(query(dotproxy::test::name_of(id), id));
    }
    assert_true(rig.until([&] { return resolver.asked.size() == 4; }));
    for (int i = 0; i < 10; ++i) {
        rig.step();
    }
    assert_int_equal(resolver.asked.size(), 4);
    resolver.answers = true;
    while (!resolver.asked.empty()) {
        resolver.answer(resolver.take());
    }
    std::vector<bool> answered(40);
    for (std::size_t i = 0; i < 40; ++i) {
        answered.at(dotproxy::dns::id(answer_to(rig, *client))) = true;
    }
    assert_true(std::ranges::find(answered, false) == answered.end());
}

// E20: from accept, whatever comes of it meanwhile.
void test_handshake_when_it_is_not_over_in_5_s_then_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto silent = connect_tls(rig);
    assert_left_after(rig, *silent, 5s);
    const auto slow = connect_tls(rig);
    slow->tls.take({});
    assert_int_equal(slow->socket.send_raw(std::span{slow->tls.output}.first(50)), 50);
    assert_true(rig.until([&] { return rig.count(Counter::tls_handshaking) == 1; }));
    rig.pass(4s);
    assert_int_equal(slow->socket.send_raw(std::span{slow->tls.output}.subspan(50, 10)), 10);
    assert_left_after(rig, *slow, 1s);
    assert_int_equal(rig.count(TlsFailure::timeout), 2);
    assert_int_equal(rig.count(Counter::tcp_timed_out), 2);
    assert_int_equal(rig.count(Counter::tls_handshaking), 0);
}

// E20
void test_client_when_it_asks_nothing_in_5_s_then_left_in_order(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_and_shake(rig);
    rig.pass(5s - 1ms);
    client->step();
    assert_false(client->tls.closed);
    rig.pass(1ms);
    assert_true(left_in_order(rig, *client));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 1);
}

// E20: the time is its own, since such a connection costs more to be made anew.
void test_client_when_idle_for_its_time_then_left_in_order(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.timeouts.client_idle = 3s;
    rig.config.timeouts.tls_idle = 9s;
    serve(rig);
    const auto client = connect_tls(rig);
    exchange(rig, *client, 1);
    rig.pass(9s - 1ms);
    exchange(rig, *client, 2);
    rig.pass(9s - 1ms);
    client->step();
    assert_false(client->tls.closed);
    rig.pass(1ms);
    assert_true(left_in_order(rig, *client));
    assert_int_equal(rig.count(Counter::tcp_idle_closed), 1);
}

void test_garbage_in_place_of_a_hello_then_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_tls(rig);
    client->socket.send(query("www.example", 1)); // as who takes the port for one of plain DNS
    assert_true(closed(rig, client->socket));
    assert_int_equal(rig.count(TlsFailure::nonsense), 1);
    assert_int_equal(rig.count(Counter::tcp_queries), 0);
    assert_int_equal(rig.count(Counter::tls_clients), 0);
    assert_int_equal(rig.count(Counter::tls_handshaking), 0);
}

// What is no record any more ends the session, and nothing of it is taken for a question.
void test_garbage_after_the_handshake_then_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_tls(rig);
    exchange(rig, *client, 1);
    client->socket.send(query("www.example", 2));
    assert_true(closed(rig, client->socket));
    assert_int_equal(rig.count(Counter::tcp_queries), 1);
}

// E29, in each state: before a hello, in the middle of one, after the answer to it.
void test_client_when_it_leaves_then_counted_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    for (const bool in_order : {true, false}) {
        for (const std::size_t size : {std::size_t{0}, std::size_t{50}, std::size_t{10'000}}) {
            const std::uint64_t before = rig.count(TlsFailure::closed);
            const auto client = connect_tls(rig);
            client->tls.take({});
            const auto hello =
                std::span{client->tls.output}.first(std::min(size, client->tls.output.size()));
            assert_int_equal(client->socket.send_raw(hello), hello.size());
            assert_true(rig.until(
                [&] { return rig.count(Counter::tls_handshaking) == (hello.empty() ? 0U : 1U); }));
            rig.step();
            if (in_order) {
                client->socket.close();
            } else {
                client->socket.reset();
            }
            assert_true(rig.until([&] { return rig.count(TlsFailure::closed) == before + 1; }));
            assert_int_equal(rig.count(Counter::tls_clients), 0);
            assert_int_equal(rig.count(Counter::tls_handshaking), 0);
        }
    }
}

// Half-open, with and without a word: who will say no more gets the answers that are due.
void test_client_when_it_ends_its_side_then_answered_and_left(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    for (const bool with_word : {true, false}) {
        const auto client = connect_and_shake(rig);
        resolver.answers = false;
        client->send(query(with_word ? "a.example" : "b.example", 5));
        if (with_word) {
            dotproxy::tls::test::must(gnutls_bye(client->tls.session(), GNUTLS_SHUT_WR), "bye");
            client->step();
        } else {
            client->socket.end_writing();
        }
        assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
        resolver.answer(resolver.take());
        assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), 5);
        assert_true(left_in_order(rig, *client));
    }
}

// E29: two of three that are known by now trust somebody else.
void test_client_when_it_refuses_the_certificate_then_counted_apart(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_tls(rig);
    gnutls_session_set_verify_function(client->tls.session(), [](gnutls_session_t /*session*/) {
        return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
    });
    assert_true(rig.until([&] {
        client->step();
        return rig.count(TlsFailure::certificate) == 1;
    }));
    assert_true(closed(rig, client->socket));
    assert_int_equal(rig.count(Counter::tls_handshakes), 0);
}

// What holds for connections holds for these: the one that was idle longest makes way (C15, E28).
void test_accept_when_at_the_limit_then_the_longest_idle_over_tls_makes_way(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tls_clients = 2;
    serve(rig);
    const auto plain = dotproxy::test::connect(rig);
    exchange(rig, *plain, 1);
    const auto oldest = connect_tls(rig);
    exchange(rig, *oldest, 2);
    rig.pass(10ms);
    const auto other = connect_tls(rig);
    exchange(rig, *other, 3);
    const auto fresh = connect_tls(rig);
    assert_true(left_in_order(rig, *oldest));
    exchange(rig, *fresh, 4);
    exchange(rig, *other, 5);
    exchange(rig, *plain, 6);
    assert_int_equal(rig.count(Counter::tls_clients), 2);
    assert_int_equal(rig.count(Counter::tcp_clients), 3);
}

void test_accept_when_at_the_limit_and_none_is_idle_then_refused(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tls_clients = 1;
    Resolver& resolver = serve(rig);
    const auto busy = connect_and_shake(rig);
    resolver.answers = false;
    busy->send(query("busy.example", 1));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    const auto second = connect_tls(rig);
    assert_true(rig.until([&] { return second->socket.is_reset(); }));
    assert_int_equal(rig.count(Counter::tcp_refused), 1);
    resolver.answer(resolver.take());
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *busy)), 1);
}

// limits 22 and 50
void test_client_when_blocked_then_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_tls(rig);
    exchange(rig, *client, 1);
    const auto shaking = connect_tls(rig);
    rig.limits.blocked().write(std::array{*dotproxy::Prefix::parse("127.0.0.0/8")});
    assert_true(closed(rig, client->socket));
    assert_true(closed(rig, shaking->socket));
    assert_false(client->tls.closed); // it is told nothing
    assert_int_equal(rig.count(Counter::tls_clients), 0);
}

// limits 42
void test_client_when_it_may_not_ask_then_refused(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    const std::array nobody{dotproxy::AccessRule{.allowed = false}};
    rig.config.listen.front().allow = dotproxy::Access{nobody};
    serve(rig);
    const auto client = connect_tls(rig);
    assert_true(rig.until([&] { return client->socket.is_reset(); }));
    assert_int_equal(rig.count(Counter::access_refused), 1);
}

// limits 37: who has said nothing yet makes way first, over TLS as over TCP.
void test_places_when_taken_by_who_is_silent_then_others_have_theirs(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tls_clients = 4;
    serve(rig);
    const auto served = connect_tls(rig);
    exchange(rig, *served, 1);
    std::vector<std::unique_ptr<TlsClient>> silent;
    for (int i = 0; i < 4; ++i) {
        silent.push_back(connect_tls(rig));
        rig.pass(1ms);
    }
    assert_int_equal(rig.count(Counter::tcp_idle_closed), 1);
    assert_int_equal(rig.count(TlsFailure::timeout), 1);
    exchange(rig, *served, 2);
    const auto honest = connect_tls(rig);
    exchange(rig, *honest, 3);
    assert_int_equal(rig.count(Counter::tcp_refused), 0);
    // And they are not waited for as long as where there is room for all.
    rig.pass(1300ms);
    assert_int_equal(rig.count(Counter::tls_clients), 2);
}

// Where both kinds of places are taken, the end of one over TLS frees both.
void test_places_when_all_are_taken_then_one_over_tls_makes_way_for_another(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tls_clients = 1;
    rig.config.limits.tcp_clients = 2;
    serve(rig);
    const auto plain = dotproxy::test::connect(rig);
    exchange(rig, *plain, 1);
    const auto first = connect_tls(rig);
    exchange(rig, *first, 2);
    const auto second = connect_tls(rig);
    exchange(rig, *second, 3);
    exchange(rig, *plain, 4);
    assert_int_equal(rig.count(Counter::tcp_refused), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_places_when_taken_by_who_is_silent_then_others_have_theirs, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_places_when_all_are_taken_then_one_over_tls_makes_way_for_another, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_client_over_tls_then_answered, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_answer_when_it_has_an_opt_then_padded, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_questions_of_a_turn_then_their_answers_in_one_record,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_octets_when_they_come_one_by_one_then_answered,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_it_asks_too_much_at_once_then_the_rest_waits, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_handshake_when_it_is_not_over_in_5_s_then_closed,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_it_asks_nothing_in_5_s_then_left_in_order,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_idle_for_its_time_then_left_in_order,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_garbage_in_place_of_a_hello_then_closed, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_garbage_after_the_handshake_then_closed, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_it_leaves_then_counted_once, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_it_ends_its_side_then_answered_and_left,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_it_refuses_the_certificate_then_counted_apart, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_accept_when_at_the_limit_then_the_longest_idle_over_tls_makes_way, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_accept_when_at_the_limit_and_none_is_idle_then_refused,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_blocked_then_closed, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_it_may_not_ask_then_refused, make_rig,
                                        free_rig),
    };
    return cmocka_run_group_tests_name("front/tls_front", tests, make_world, free_world);
}
