// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The stream against servers that speak HTTP/2, something else, or do not say (RFC 7301).

#include "tls/client_stream.hh"

#include "tls/pair.hh"
#include "tls/peer.hh"
#include "unit.hh"

#include <optional>
#include <string>
#include <vector>

using namespace dotproxy::tls;
using namespace dotproxy::tls::test;

namespace {

/// What a server knows, the best first.
using Names = std::vector<std::string>;

void set_names(Server& server, const Names& names, unsigned flags = 0) {
    std::vector<gnutls_datum_t> list;
    for (const std::string& name : names) {
        list.push_back({reinterpret_cast<unsigned char*>(const_cast<char*>(name.data())),
                        static_cast<unsigned>(name.size())});
    }
    if (!list.empty()) {
        must(gnutls_alpn_set_protocols(server.session(), list.data(),
                                       static_cast<unsigned>(list.size()), flags),
             "ALPN");
    }
}

/// A client that insists on HTTP/2, and a server of the world's or another service.
struct Http {
    explicit Http(const Names& names, const char* priority = "NORMAL",
                  const Service& service = world().service)
        : server{service, priority} {
        set_names(server, names);
    }

    /// A connection with the tickets of another one.
    Http(const Names& names, const Octets& ticket, const Service& service = world().service)
        : server{service} {
        tickets.put(ticket);
        set_names(server, names);
    }

    void shake() {
        client.emplace(world().context, world().identity, tickets, Spoken::http2);
        carry(*client, server);
    }

    Tickets tickets;
    std::optional<Client> client;
    Server server;
};

/// It failed for that, and nothing can be said over it.
void assert_unfit(Http& it) {
    ClientStream& stream = it.client->stream;
    assert_int_equal(it.client->last, Io::failed);
    assert_int_equal(stream.failure(), Failure::unfit);
    assert_string_equal(stream.reason().c_str(), "does not speak HTTP/2");
    assert_false(stream.ready());
    assert_int_equal(stream.send(octets("query")), Io::failed);
    assert_int_equal(stream.handshake(), Io::failed);
    carry(*it.client, it.server);
    assert_true(it.server.received.empty());
    assert_true(it.client->plain.empty());
}

/// A ticket that such a server has given.
Octets ticket_from(const Names& names) {
    Http it{names};
    it.shake();
    assert_true(it.client->stream.ready());
    return it.tickets.take();
}

// RFC 9113, section 3.3: what it offers is "h2" and nothing else.
void test_http2_where_the_server_takes_it_is_ready(void** /*state*/) {
    for (const char* priority : {"NORMAL", tls_1_2}) {
        for (const Names& names : {Names{"h2"}, Names{"http/1.1", "dot", "h2"}}) {
            Http it{names, priority};
            it.shake();
            assert_true(it.client->stream.ready());
            assert_int_equal(it.client->stream.failure(), Failure::none);
            gnutls_datum_t taken{};
            must(gnutls_alpn_get_selected_protocol(it.server.session(), &taken), "ALPN");
            assert_int_equal(taken.size, 2);
            assert_memory_equal(taken.data, "h2", 2);
            assert_int_equal(it.client->stream.send(octets("query")), Io::done);
            carry(*it.client, it.server);
            assert_string_equal(it.server.received.c_str(), "query");
        }
    }
}

void test_http2_where_the_server_knows_it_not_is_unfit(void** /*state*/) {
    for (const char* priority : {"NORMAL", tls_1_2}) {
        for (const Names& names :
             {Names{}, Names{"http/1.1"}, Names{"dot"}, Names{"h2c"}, Names{"H2"}, Names{"h"}}) {
            Http it{names, priority};
            it.shake();
            assert_unfit(it);
            assert_int_equal(it.tickets.size(), 0);
        }
    }
}

// A server may end it itself (RFC 7301, section 3.2).
void test_http2_where_the_server_refuses_fails(void** /*state*/) {
    Http it{{}};
    set_names(it.server, {"http/1.1"}, GNUTLS_ALPN_MANDATORY);
    it.shake();
    assert_int_equal(it.client->last, Io::failed);
    assert_int_equal(it.client->stream.failure(), Failure::protocol);
    assert_false(it.client->stream.ready());
    assert_false(it.client->stream.reason().empty());
}

// What was spoken in the session that is resumed says nothing (RFC 7301, section 3.1).
void test_http2_when_resumed_is_asked_for_again(void** /*state*/) {
    Http good{{"h2"}, ticket_from({"h2"})};
    good.shake();
    assert_true(good.client->stream.ready() && good.client->stream.resumed());
    for (const Names& names : {Names{}, Names{"http/1.1"}}) {
        Http it{names, ticket_from({"h2"})};
        it.shake();
        assert_true(gnutls_session_is_resumed(it.server.session()));
        assert_unfit(it);
    }
}

// G8: whoever cannot prove who it is, is told that first, and is not called a bad resolver.
void test_http2_where_the_server_is_untrusted_says_so(void** /*state*/) {
    const Certificate other = issue({.dns = {"other.example"}}, &world().root);
    const Service service{{&other}, other};
    for (const Names& names : {Names{}, Names{"http/1.1"}, Names{"h2"}}) {
        Http full{names, "NORMAL", service};
        full.shake();
        assert_int_equal(full.client->last, Io::failed);
        assert_int_equal(full.client->stream.failure(), Failure::untrusted);
        assert_false(full.client->stream.ready());

        Http resumed{names, ticket_without_check(service), service};
        resumed.shake();
        assert_true(gnutls_session_is_resumed(resumed.server.session()));
        assert_int_equal(resumed.client->last, Io::failed);
        assert_int_equal(resumed.client->stream.failure(), Failure::untrusted);
        assert_false(resumed.client->stream.ready());
    }
}

// RFC 7858: many servers do not know "dot", which is not insisted on.
void test_dot_where_the_server_speaks_something_else_is_ready(void** /*state*/) {
    for (const Names& names : {Names{}, Names{"h2"}, Names{"dot"}}) {
        Pair pair;
        set_names(pair.server, names);
        pair.shake();
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_http2_where_the_server_takes_it_is_ready),
        cmocka_unit_test(test_http2_where_the_server_knows_it_not_is_unfit),
        cmocka_unit_test(test_http2_where_the_server_refuses_fails),
        cmocka_unit_test(test_http2_when_resumed_is_asked_for_again),
        cmocka_unit_test(test_http2_where_the_server_is_untrusted_says_so),
        cmocka_unit_test(test_dot_where_the_server_speaks_something_else_is_ready),
    };
    return cmocka_run_group_tests_name("tls/client_stream_spoken", tests, nullptr, nullptr);
}
