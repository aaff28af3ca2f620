// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The stream against a GnuTLS server in the same process: each way a session can end, in order and
// not.

#include "tls/client_stream.hh"

#include "tls/pair.hh"
#include "tls/peer.hh"
#include "unit.hh"

#include <string_view>

using namespace dotproxy::tls;
using namespace dotproxy::tls::test;
using namespace std::string_view_literals;

namespace {

// G4: an answer that came whole is given before the cut is told.
void test_end_without_close_notify_fails_after_the_data(void** /*state*/) {
    Pair pair;
    pair.shake();
    pair.server.say("answer");
    carry(pair.client, pair.server);
    assert_int_equal(pair.client.last, Io::again);
    pair.client.take_end();
    assert_string_equal(pair.client.plain.c_str(), "answer");
    assert_failed(pair, "The peer cut the connection");
    assert_true(pair.client.stream.output().empty());
}

void test_end_inside_a_record_fails(void** /*state*/) {
    Pair pair;
    pair.shake();
    pair.server.say("answer");
    pair.server.output.pop_back();
    carry(pair.client, pair.server);
    pair.client.take_end();
    assert_true(pair.client.plain.empty());
    assert_failed(pair, "The peer cut the connection");
}

void test_end_during_handshake_fails(void** /*state*/) {
    Pair pair;
    pair.client.take_end();
    assert_failed(pair, "The peer cut the connection");
}

void test_close_notify_closes_in_order(void** /*state*/) {
    Pair pair;
    pair.shake();
    pair.server.say("answer");
    must(gnutls_bye(pair.server.session(), GNUTLS_SHUT_WR), "bye");
    carry(pair.client, pair.server);
    assert_string_equal(pair.client.plain.c_str(), "answer");
    assert_int_equal(pair.client.last, Io::closed);
    assert_int_equal(pair.client.stream.failure(), Failure::none);
    pair.client.take_end();
    assert_int_equal(pair.client.last, Io::closed);
}

// C73: once, without waiting; what the peer still says can be read.
void test_close_says_close_notify_once(void** /*state*/) {
    Pair pair;
    pair.shake();
    pair.client.stream.close();
    const std::size_t size = pair.client.stream.output().size();
    assert_true(size > 0);
    pair.client.stream.close();
    assert_int_equal(pair.client.stream.output().size(), size);
    carry(pair.client, pair.server);
    assert_true(pair.server.closed);
    pair.server.say("late answer");
    carry(pair.client, pair.server);
    assert_string_equal(pair.client.plain.c_str(), "late answer");
    assert_int_equal(pair.client.stream.send(octets("query")), Io::failed);
}

void test_close_before_handshake_says_nothing(void** /*state*/) {
    Pair pair;
    const std::size_t before = pair.client.stream.output().size();
    pair.client.stream.close();
    assert_int_equal(pair.client.stream.output().size(), before);
}

void test_garbage_instead_of_handshake_fails_with_alert(void** /*state*/) {
    for (const std::string_view garbage :
         {"HTTP/1.1 400 Bad Request\r\n\r\n"sv, "SSH-2.0-OpenSSH\r\n"sv,
          "\x16\x03\x03\xff\xff too long"sv, "\x16\x03\x03\0\5\2\0\0\1x"sv,
          "\x17\x03\x03\0\5early"sv}) {
        Pair pair;
        pair.client.stream.output().clear();
        pair.client.take(octets(garbage));
        assert_int_equal(pair.client.last, Io::failed);
        assert_int_equal(pair.client.stream.failure(), Failure::protocol);
        assert_false(pair.client.stream.reason().empty());
        assert_false(pair.client.stream.output().empty());
    }
}

void test_garbage_in_the_session_fails_with_alert(void** /*state*/) {
    Pair pair;
    pair.shake();
    pair.server.say("answer");
    pair.server.output.back() ^= 1;
    carry(pair.client, pair.server);
    assert_true(pair.client.plain.empty());
    assert_int_equal(pair.server.error, GNUTLS_E_FATAL_ALERT_RECEIVED);
    assert_int_equal(gnutls_alert_get(pair.server.session()), GNUTLS_A_BAD_RECORD_MAC);
    assert_failed(pair, "Decryption has failed");
}

void test_alert_fails_with_its_name(void** /*state*/) {
    Pair pair;
    pair.shake();
    must(gnutls_alert_send(pair.server.session(), GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR),
         "alert");
    carry(pair.client, pair.server);
    assert_failed(pair, "The peer sent the alert: Internal error");
}

void test_alert_of_unknown_kind_fails(void** /*state*/) {
    Pair pair;
    pair.client.take(octets({"\x15\x03\x03\x00\x02\x02\xc8", 7}));
    assert_failed(pair, "The peer sent the alert: unknown");
}

// C69, L51
void test_renegotiation_is_not_followed(void** /*state*/) {
    Pair pair{tls_1_2};
    pair.shake();
    must(gnutls_rehandshake(pair.server.session()), "rehandshake");
    carry(pair.client, pair.server);
    assert_failed(pair, "The peer asked to renegotiate");
}

void test_warning_alert_of_tls_1_2_is_ignored(void** /*state*/) {
    Pair pair{tls_1_2};
    pair.shake();
    must(gnutls_alert_send(pair.server.session(), GNUTLS_AL_WARNING, GNUTLS_A_USER_CANCELED),
         "alert");
    pair.server.say("answer");
    carry(pair.client, pair.server);
    assert_string_equal(pair.client.plain.c_str(), "answer");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_end_without_close_notify_fails_after_the_data),
        cmocka_unit_test(test_end_inside_a_record_fails),
        cmocka_unit_test(test_end_during_handshake_fails),
        cmocka_unit_test(test_close_notify_closes_in_order),
        cmocka_unit_test(test_close_says_close_notify_once),
        cmocka_unit_test(test_close_before_handshake_says_nothing),
        cmocka_unit_test(test_garbage_instead_of_handshake_fails_with_alert),
        cmocka_unit_test(test_garbage_in_the_session_fails_with_alert),
        cmocka_unit_test(test_alert_fails_with_its_name),
        cmocka_unit_test(test_alert_of_unknown_kind_fails),
        cmocka_unit_test(test_renegotiation_is_not_followed),
        cmocka_unit_test(test_warning_alert_of_tls_1_2_is_ignored),
    };
    return cmocka_run_group_tests_name("tls/client_stream_end", tests, nullptr, nullptr);
}
