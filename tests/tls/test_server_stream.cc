// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The session with a client: what is agreed on, how it is resumed, and how it ends when the client
// does not do as it should.

#include "tls/shop.hh"

#include <cstring>
#include <string_view>

using namespace dotproxy::tls;
using namespace dotproxy::tls::test;

namespace {

using Ending = ServerStream::Ending;

constexpr const char* tls_1_2 = "NORMAL:-VERS-ALL:+VERS-TLS1.2";

struct World {
    Certificate leaf{issue({.dns = {"dot.example"}})};
    std::vector<KeyPair> pairs{pairs_of({&leaf})};
    ServerContext context{pairs, ticket_key()};
    ServerContext next{pairs, ticket_key()};                             // after a reload
    ServerContext restarted{pairs, std::make_shared<const TicketKey>()}; // with another key
};

const World& world() {
    static const World made;
    return made;
}

/// A client and a server that have shaken hands.
struct Pair {
    explicit Pair(const char* priority = "NORMAL", const ServerContext& context = world().context)
        : client{"dot.example", priority}, clerk{context} {}

    void shake() {
        carry(client, clerk);
        assert_true(client.shaken);
        assert_true(clerk.stream.ready());
    }

    AnyClient client;
    Clerk clerk;
};

/// The clerk's session has failed for that reason, and stays so.
void assert_failed(Clerk& clerk, Ending why) {
    assert_int_equal(clerk.last, Io::failed);
    assert_int_equal(clerk.stream.failure(), Failure::protocol);
    assert_int_equal(clerk.stream.ending(), why);
    assert_false(clerk.stream.reason().empty());
    clerk.take(octets("more"));
    assert_int_equal(clerk.last, Io::failed);
    assert_int_equal(clerk.stream.send(octets("answer")), Io::failed);
    assert_int_equal(clerk.stream.ending(), why);
}

Octets ticket_of(const ServerContext& context, const char* priority = "NORMAL") {
    Pair pair{priority, context};
    pair.shake();
    return pair.client.ticket();
}

/// Whether a client with this ticket resumes its session.
bool resumes(const Octets& ticket, const ServerContext& context) {
    Pair pair{"NORMAL", context};
    pair.client.resume(ticket);
    pair.shake();
    assert_int_equal(pair.clerk.stream.resumes(), pair.clerk.stream.resumed());
    return pair.clerk.stream.resumed();
}

void test_handshake_when_done_then_octets_pass_both_ways(void** /*state*/) {
    for (const char* priority : {"NORMAL", tls_1_2}) {
        Pair pair{priority};
        pair.shake();
        assert_true(pair.clerk.stream.greeted());
        assert_false(pair.clerk.stream.resumed());
        pair.client.say("query");
        carry(pair.client, pair.clerk);
        assert_string_equal(pair.clerk.plain.c_str(), "query");
        assert_int_equal(pair.clerk.stream.send(octets("answer")), Io::done);
        carry(pair.client, pair.clerk);
        assert_string_equal(pair.client.received.c_str(), "answer");
    }
}

// E14
void test_cipher_is_the_servers_choice(void** /*state*/) {
    for (const std::string version : {"+VERS-TLS1.3", "+VERS-TLS1.2"}) {
        Pair pair{("NORMAL:-VERS-ALL:" + version +
                   ":-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM")
                      .c_str()};
        pair.shake();
        assert_int_equal(gnutls_cipher_get(pair.client.session()), GNUTLS_CIPHER_AES_128_GCM);
    }
}

// E14, C64: what is too old is not spoken.
void test_handshake_when_nothing_in_common_then_incompatible(void** /*state*/) {
    for (const char* priority : {"NORMAL:-VERS-ALL:+VERS-TLS1.1:%VERIFY_ALLOW_SIGN_WITH_SHA1",
                                 "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-CBC",
                                 "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA"}) {
        Pair pair{priority};
        carry(pair.client, pair.clerk);
        assert_false(pair.client.shaken);
        assert_failed(pair.clerk, Ending::incompatible);
        assert_int_equal(pair.client.error, GNUTLS_E_FATAL_ALERT_RECEIVED);
    }
}

// E22: "dot" alone; who offers nothing is let in as well.
void test_protocol_when_offered_then_it_must_be_dot(void** /*state*/) {
    Pair none;
    none.shake();
    Pair dot;
    dot.client.offer("dot");
    dot.shake();
    gnutls_datum_t chosen{};
    assert_int_equal(gnutls_alpn_get_selected_protocol(dot.client.session(), &chosen), 0);
    assert_int_equal(chosen.size, 3);
    assert_memory_equal(chosen.data, "dot", 3);
    for (const char* other : {"h2", "DOT", "dots"}) {
        Pair pair;
        pair.client.offer(other);
        carry(pair.client, pair.clerk);
        assert_failed(pair.clerk, Ending::incompatible);
        assert_int_equal(gnutls_alert_get(pair.client.session()), GNUTLS_A_NO_APPLICATION_PROTOCOL);
    }
}

// E13: one ticket for each session, resumed or not.
void test_ticket_is_one(void** /*state*/) {
    AnyClient client{"dot.example"};
    static int tickets = 0;
    tickets = 0;
    gnutls_handshake_set_hook_function(
        client.session(), GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_POST,
        [](gnutls_session_t, unsigned, unsigned, unsigned, const gnutls_datum_t*) {
            ++tickets;
            return 0;
        });
    Clerk clerk{world().context};
    carry(client, clerk);
    assert_true(clerk.stream.ready());
    assert_int_equal(tickets, 1);
    assert_in_range(client.ticket().size(), 100, 4096);
}

// E12: across workers and reloads, not across restarts.
void test_ticket_when_the_key_is_the_same_then_resumed(void** /*state*/) {
    const Octets ticket = ticket_of(world().context);
    assert_false(ticket.empty());
    assert_true(resumes(ticket, world().context));
    assert_true(resumes(ticket, world().next));
    assert_false(resumes(ticket, world().restarted));
}

// E12: of TLS 1.2, where a stolen key would open what was recorded, there are none.
void test_ticket_when_tls_1_2_then_none(void** /*state*/) {
    Pair pair{tls_1_2};
    pair.shake();
    unsigned char id[GNUTLS_MAX_SESSION_ID_SIZE]{};
    std::size_t size = sizeof id;
    assert_int_equal(gnutls_session_get_id(pair.client.session(), id, &size), 0);
    Pair again{tls_1_2};
    again.client.resume(pair.client.ticket());
    again.shake();
    assert_false(again.clerk.stream.resumed());
}

void test_garbage_in_place_of_a_hello_then_nonsense(void** /*state*/) {
    const std::array<std::string_view, 4> garbage{
        std::string_view{"GET / HTTP/1.1\r\nHost: dot.example\r\n\r\n"},
        std::string_view{"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www", 18},
        std::string_view{"\x16\x03\x01\x00\x05\xff\x00\x00\x01\x00", 10},
        std::string_view{"\x17\x03\x03\x00\x05hello", 10}};
    for (const std::string_view one : garbage) {
        Clerk clerk{world().context};
        clerk.take(octets(one));
        assert_false(clerk.stream.greeted());
        assert_failed(clerk, Ending::nonsense);
    }
}

// E14, E28: a message that grows and grows is given up.
void test_hello_when_it_is_too_long_then_refused_before_it_has_come(void** /*state*/) {
    Clerk clerk{world().context};
    const std::string front{"\x16\x03\x01\x40\x00", 5};
    clerk.take(octets(front + std::string{"\x01\x01\xff\x00", 4} + std::string(16380, 'x')));
    for (int i = 0; i < 3 && clerk.last == Io::again; ++i) {
        clerk.take(octets(front + std::string(16384, 'x')));
    }
    assert_false(clerk.stream.greeted());
    assert_failed(clerk, Ending::nonsense);
}

// E29
void test_client_that_leaves_in_any_state_then_closed(void** /*state*/) {
    Pair before;
    before.clerk.take_end();
    assert_failed(before.clerk, Ending::closed);
    Pair half;
    half.client.take({});
    half.clerk.take(std::span{half.client.output}.first(20));
    half.clerk.take_end();
    assert_failed(half.clerk, Ending::closed);
    Pair after;
    after.client.take({});
    after.clerk.take(after.client.output);
    assert_true(after.clerk.stream.greeted());
    after.clerk.take_end();
    assert_failed(after.clerk, Ending::closed);
}

// E29: the administrator's first question is whether clients refuse the certificate.
void test_client_that_refuses_the_certificate_is_told_apart(void** /*state*/) {
    struct Case {
        gnutls_alert_description_t alert;
        Ending ending;
    };

    static gnutls_alert_description_t alert{};
    for (const Case& one : {Case{GNUTLS_A_BAD_CERTIFICATE, Ending::certificate},
                            Case{GNUTLS_A_CERTIFICATE_EXPIRED, Ending::certificate},
                            Case{GNUTLS_A_CERTIFICATE_UNKNOWN, Ending::certificate},
                            Case{GNUTLS_A_UNKNOWN_CA, Ending::certificate},
                            Case{GNUTLS_A_ILLEGAL_PARAMETER, Ending::closed},
                            Case{GNUTLS_A_INTERNAL_ERROR, Ending::closed}}) {
        for (const char* priority : {"NORMAL", tls_1_2}) {
            Pair pair{priority};
            alert = one.alert;
            gnutls_session_set_verify_function(pair.client.session(), [](gnutls_session_t session) {
                must(gnutls_alert_send(session, GNUTLS_AL_FATAL, alert), "alert");
                return GNUTLS_E_CERTIFICATE_ERROR;
            });
            carry(pair.client, pair.clerk);
            assert_failed(pair.clerk, one.ending);
        }
    }
}

// E14: no renegotiation.
void test_renegotiation_then_the_session_fails(void** /*state*/) {
    Pair pair{tls_1_2};
    pair.shake();
    (void)gnutls_handshake(pair.client.session());
    pair.clerk.take(std::exchange(pair.client.output, {}));
    assert_int_equal(pair.clerk.last, Io::failed);
    assert_string_equal(pair.clerk.stream.reason().c_str(), "The peer asked to renegotiate");
}

void test_close_then_the_client_is_told(void** /*state*/) {
    Pair pair;
    pair.shake();
    pair.clerk.stream.close();
    carry(pair.client, pair.clerk);
    assert_true(pair.client.closed);
    Pair other;
    other.shake();
    must(gnutls_bye(other.client.session(), GNUTLS_SHUT_WR), "bye");
    carry(other.client, other.clerk);
    assert_int_equal(other.clerk.last, Io::closed);
    assert_int_equal(other.clerk.stream.send(octets("answer")), Io::done); // what is due still goes
    carry(other.client, other.clerk);
}

void test_any_chopping_gives_the_same(void** /*state*/) {
    for (const char* priority : {"NORMAL", tls_1_2}) {
        for (const std::size_t size : {1U, 2U, 3U, 7U, 100U}) {
            Pair pair{priority};
            pair.client.offer("dot");
            carry(pair.client, pair.clerk, size);
            assert_true(pair.clerk.stream.ready());
            pair.client.say("query");
            carry(pair.client, pair.clerk, size);
            assert_string_equal(pair.clerk.plain.c_str(), "query");
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_when_done_then_octets_pass_both_ways),
        cmocka_unit_test(test_cipher_is_the_servers_choice),
        cmocka_unit_test(test_handshake_when_nothing_in_common_then_incompatible),
        cmocka_unit_test(test_protocol_when_offered_then_it_must_be_dot),
        cmocka_unit_test(test_ticket_is_one),
        cmocka_unit_test(test_ticket_when_the_key_is_the_same_then_resumed),
        cmocka_unit_test(test_ticket_when_tls_1_2_then_none),
        cmocka_unit_test(test_garbage_in_place_of_a_hello_then_nonsense),
        cmocka_unit_test(test_hello_when_it_is_too_long_then_refused_before_it_has_come),
        cmocka_unit_test(test_client_that_leaves_in_any_state_then_closed),
        cmocka_unit_test(test_client_that_refuses_the_certificate_is_told_apart),
        cmocka_unit_test(test_renegotiation_then_the_session_fails),
        cmocka_unit_test(test_close_then_the_client_is_told),
        cmocka_unit_test(test_any_chopping_gives_the_same),
    };
    return cmocka_run_group_tests_name("tls/server_stream", tests, nullptr, nullptr);
}
