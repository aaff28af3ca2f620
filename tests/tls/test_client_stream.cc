// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The stream against a GnuTLS server in the same process, over memory: what comes out whatever the
// pieces the ciphertext comes in.

#include "tls/client_stream.hh"

#include "tls/pair.hh"
#include "tls/peer.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <utility>

using namespace dotproxy::tls;
using namespace dotproxy::tls::test;

namespace {

std::string text_of(std::size_t size) {
    std::string text(size, '\0');
    std::minstd_rand random{static_cast<unsigned>(size)};
    std::generate(text.begin(), text.end(), [&] { return static_cast<char>(random()); });
    return text;
}

void test_handshake_before_any_input_offers_and_waits(void** /*state*/) {
    Pair pair;
    assert_int_equal(pair.client.last, Io::again);
    assert_false(pair.client.stream.output().empty());
    assert_false(pair.client.stream.ready());
    assert_int_equal(pair.client.stream.failure(), Failure::none);
}

// C67, C68, G22: what the server sees of us
void test_handshake_names_server_and_protocol(void** /*state*/) {
    Pair pair;
    const gnutls_datum_t dot{reinterpret_cast<unsigned char*>(const_cast<char*>("dot")), 3};
    must(gnutls_alpn_set_protocols(pair.server.session(), &dot, 1, 0), "ALPN");
    pair.shake();
    gnutls_datum_t protocol{};
    must(gnutls_alpn_get_selected_protocol(pair.server.session(), &protocol), "ALPN");
    assert_memory_equal(protocol.data, "dot", 3);
    std::array<char, 64> name{};
    std::size_t size = name.size();
    unsigned type = 0;
    must(gnutls_server_name_get(pair.server.session(), name.data(), &size, &type, 0), "SNI");
    assert_string_equal(name.data(), host);
    assert_int_equal(gnutls_protocol_get_version(pair.server.session()), GNUTLS_TLS1_3);
    assert_int_equal(gnutls_group_get(pair.server.session()), GNUTLS_GROUP_X25519);
}

// C67: no SNI for an address
void test_handshake_for_ip_names_no_server(void** /*state*/) {
    const Certificate leaf = issue({.ips = {"192.0.2.7"}}, &world().root);
    const Service service{{&leaf}, leaf};
    const auto identity = Identity::make("192.0.2.7", {});
    Tickets tickets;
    Client client{world().context, *identity, tickets};
    Server server{service};
    carry(client, server);
    assert_true(client.stream.ready());
    std::array<char, 64> name{};
    std::size_t size = name.size();
    unsigned type = 0;
    assert_int_equal(gnutls_server_name_get(server.session(), name.data(), &size, &type, 0),
                     GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE);
}

// C61
void test_send_before_handshake_is_refused(void** /*state*/) {
    Pair pair;
    const std::size_t before = pair.client.stream.output().size();
    assert_int_equal(pair.client.stream.send(octets("query")), Io::failed);
    assert_int_equal(pair.client.stream.output().size(), before);
    carry(pair.client, pair.server);
    assert_false(pair.client.stream.ready());
    assert_true(pair.server.received.empty());
}

void test_receive_of_two_messages_in_one_record_gives_both(void** /*state*/) {
    Pair pair;
    pair.shake();
    pair.server.say("firstsecond");
    carry(pair.client, pair.server);
    assert_string_equal(pair.client.plain.c_str(), "firstsecond");
    assert_int_equal(pair.client.last, Io::again);
}

void test_receive_of_message_split_over_records_gives_all(void** /*state*/) {
    Pair pair;
    pair.shake();
    for (const char* part : {"f", "ir", "st"}) {
        pair.server.say(part);
    }
    carry(pair.client, pair.server);
    assert_string_equal(pair.client.plain.c_str(), "first");
}

// G1: tickets and answer arrive with one feed. What stops at the first `again` loses the answer.
void test_receive_of_tickets_and_answer_at_once_gives_answer(void** /*state*/) {
    Pair pair{"NORMAL", GNUTLS_NO_AUTO_SEND_TICKET};
    pair.shake();
    assert_int_equal(pair.tickets.size(), 0);
    must(gnutls_session_ticket_send(pair.server.session(), 2, 0), "tickets");
    pair.server.say("answer");
    pair.client.take(pair.server.output);
    assert_string_equal(pair.client.plain.c_str(), "answer");
    assert_int_equal(pair.client.last, Io::again);
    assert_int_equal(pair.tickets.size(), 2);
}

// G1 again: no more is to come, and what is there has still to be read.
void test_receive_after_end_gives_what_came_before(void** /*state*/) {
    Pair pair;
    pair.shake();
    pair.server.say("answer");
    must(gnutls_session_key_update(pair.server.session(), 0), "key update");
    must(gnutls_bye(pair.server.session(), GNUTLS_SHUT_WR), "bye");
    pair.client.stream.feed_end();
    pair.client.take(pair.server.output);
    assert_string_equal(pair.client.plain.c_str(), "answer");
    assert_int_equal(pair.client.last, Io::closed);
}

void test_receive_across_key_updates_goes_on_and_answers(void** /*state*/) {
    Pair pair;
    pair.shake();
    pair.server.say("one ");
    must(gnutls_session_key_update(pair.server.session(), GNUTLS_KU_PEER), "key update");
    pair.server.say("two");
    pair.client.take(std::exchange(pair.server.output, {}));
    assert_string_equal(pair.client.plain.c_str(), "one two");
    assert_int_equal(pair.client.stream.send(octets("query")), Io::done);
    carry(pair.client, pair.server);
    assert_string_equal(pair.server.received.c_str(), "query");
}

// L51
void test_receive_of_key_update_flood_fails(void** /*state*/) {
    Pair pair;
    pair.shake();
    for (int i = 0; i < 100; ++i) {
        must(gnutls_session_key_update(pair.server.session(), 0), "key update");
    }
    carry(pair.client, pair.server);
    assert_failed(pair, "Too many handshake packets have been received");
}

void test_receive_of_empty_padded_records_skips_them(void** /*state*/) {
    Pair pair;
    pair.shake();
    for (int i = 0; i < 50; ++i) {
        must(static_cast<int>(gnutls_record_send2(pair.server.session(), "", 0, 100, 0)),
             "padding");
    }
    pair.server.say("answer");
    carry(pair.client, pair.server);
    assert_string_equal(pair.client.plain.c_str(), "answer");
}

void test_receive_into_small_memory_takes_record_in_parts(void** /*state*/) {
    Pair pair;
    pair.shake();
    pair.server.say("answer");
    const Octets ciphertext = std::exchange(pair.server.output, {});
    pair.client.stream.feed(ciphertext);
    std::string plain;
    std::array<std::uint8_t, 4> part{};
    std::size_t size = 0;
    while (pair.client.stream.receive(part, size) == Io::done) {
        assert_in_range(size, 1, part.size());
        plain.append(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(size));
    }
    assert_string_equal(plain.c_str(), "answer");
}

// G23: a TLS 1.2 ticket would cost forward secrecy. It is not even asked for.
void test_tls_1_2_leaves_no_ticket(void** /*state*/) {
    Pair pair{tls_1_2};
    const auto hello = pair.client.stream.output().view();
    const std::array<std::uint8_t, 4> session_ticket{0, 35, 0, 0}; // extension without content
    assert_true(std::search(hello.begin(), hello.end(), session_ticket.begin(),
                            session_ticket.end()) == hello.end());
    pair.shake();
    assert_int_equal(pair.client.stream.send(octets("query")), Io::done);
    carry(pair.client, pair.server);
    assert_string_equal(pair.server.received.c_str(), "query");
    assert_int_equal(pair.tickets.size(), 0);
}

// C71: each ticket once; a resumed session brings new ones.
void test_ticket_resumes_once(void** /*state*/) {
    Pair first;
    first.shake();
    assert_false(first.client.stream.resumed());
    assert_int_equal(first.tickets.size(), 2);
    Client client{world().context, world().identity, first.tickets};
    assert_int_equal(first.tickets.size(), 1);
    Server server{world().service};
    carry(client, server);
    assert_true(client.stream.ready());
    assert_true(client.stream.resumed());
    assert_true(gnutls_session_is_resumed(server.session()));
    assert_int_equal(first.tickets.size(), 3);
}

void test_ticket_that_is_garbage_or_unknown_costs_a_full_handshake(void** /*state*/) {
    const Service other{{&world().leaf}, world().leaf}; // with another ticket key
    for (const Octets& ticket : {Octets(100, 7), Octets{}, ticket_without_check(other)}) {
        Tickets tickets;
        tickets.put(ticket);
        Client client{world().context, world().identity, tickets};
        Server server{world().service};
        carry(client, server);
        assert_true(client.stream.ready());
        assert_false(client.stream.resumed());
    }
}

void test_send_of_large_data_makes_records_of_16_kib(void** /*state*/) {
    Pair pair;
    pair.shake();
    const std::string text = text_of(200001);
    assert_int_equal(pair.client.stream.send(octets(text)), Io::done);
    assert_true(pair.client.stream.output().size() < text.size() + 13 * 22 + 22);
    carry(pair.client, pair.server);
    assert_true(pair.server.received == text);
    pair.server.say(text);
    carry(pair.client, pair.server);
    assert_true(pair.client.plain == text);
}

void test_send_of_small_data_makes_one_record(void** /*state*/) {
    Pair pair;
    pair.shake();
    assert_int_equal(pair.client.stream.send(octets(text_of(2048))), Io::done);
    assert_int_equal(pair.client.stream.output().size(), 2048 + 22);
    assert_int_equal(pair.client.stream.send({}), Io::done);
    assert_int_equal(pair.client.stream.output().size(), 2048 + 22);
}

// L45, G1: whatever the pieces, the same comes out on both sides; the pieces are freed at once.
void test_any_chopping_of_ciphertext_gives_the_same(void** /*state*/) {
    const auto exchange = [](const char* priority, const Chop& chop) {
        Pair pair{priority};
        carry(pair.client, pair.server, chop);
        std::string asked;
        std::string answered;
        for (const std::size_t size : {1U, 2U, 130U, 4096U, 17000U, 1U}) {
            const std::string text = text_of(size);
            assert_int_equal(pair.client.stream.send(octets(text)), Io::done);
            pair.server.say(text);
            asked += text;
            answered += text;
            if (pair.server.session() != nullptr && size == 130U && priority != tls_1_2) {
                must(gnutls_session_key_update(pair.server.session(), GNUTLS_KU_PEER), "update");
            }
        }
        pair.client.stream.close();
        must(gnutls_bye(pair.server.session(), GNUTLS_SHUT_WR), "bye");
        carry(pair.client, pair.server, chop);
        assert_true(pair.server.received == asked);
        assert_true(pair.client.plain == answered);
        assert_true(pair.server.closed);
        assert_int_equal(pair.client.last, Io::closed);
    };
    std::minstd_rand random{42};
    for (const char* priority : {"NORMAL", tls_1_2}) {
        exchange(priority, [](std::size_t) { return 1; });
        for (int round = 0; round < 20; ++round) {
            exchange(priority, [&](std::size_t size) { return random() % size + 1; });
            exchange(priority, [&](std::size_t) { return random() % 40 + 1; });
        }
    }
}

// The same for octets that are not TLS: any answer but a crash, a hang or `done` is right.
void test_any_flipped_bit_of_the_handshake_never_verifies_wrongly(void** /*state*/) {
    for (unsigned seed = 1; seed <= 300; ++seed) {
        Pair pair;
        std::minstd_rand random{seed};
        const auto view = pair.client.stream.output().view();
        pair.server.take(view);
        pair.client.stream.output().clear();
        Octets flight = std::exchange(pair.server.output, {});
        flight[random() % flight.size()] ^= static_cast<std::uint8_t>(1U << random() % 8);
        pair.client.take(flight);
        pair.client.take_end();
        assert_int_equal(pair.client.last, Io::failed);
        assert_true(pair.client.plain.empty());
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_before_any_input_offers_and_waits),
        cmocka_unit_test(test_handshake_names_server_and_protocol),
        cmocka_unit_test(test_handshake_for_ip_names_no_server),
        cmocka_unit_test(test_send_before_handshake_is_refused),
        cmocka_unit_test(test_receive_of_two_messages_in_one_record_gives_both),
        cmocka_unit_test(test_receive_of_message_split_over_records_gives_all),
        cmocka_unit_test(test_receive_of_tickets_and_answer_at_once_gives_answer),
        cmocka_unit_test(test_receive_after_end_gives_what_came_before),
        cmocka_unit_test(test_receive_across_key_updates_goes_on_and_answers),
        cmocka_unit_test(test_receive_of_key_update_flood_fails),
        cmocka_unit_test(test_receive_of_empty_padded_records_skips_them),
        cmocka_unit_test(test_receive_into_small_memory_takes_record_in_parts),
        cmocka_unit_test(test_tls_1_2_leaves_no_ticket),
        cmocka_unit_test(test_ticket_resumes_once),
        cmocka_unit_test(test_ticket_that_is_garbage_or_unknown_costs_a_full_handshake),
        cmocka_unit_test(test_send_of_large_data_makes_records_of_16_kib),
        cmocka_unit_test(test_send_of_small_data_makes_one_record),
        cmocka_unit_test(test_any_chopping_of_ciphertext_gives_the_same),
        cmocka_unit_test(test_any_flipped_bit_of_the_handshake_never_verifies_wrongly),
    };
    return cmocka_run_group_tests_name("tls/client_stream", tests, nullptr, nullptr);
}
