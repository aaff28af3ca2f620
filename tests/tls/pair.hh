// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A client and a server over memory: what the tests of a stream start from.

#pragma once

#include "tls/peer.hh"
#include "unit.hh"

namespace dotproxy::tls::test {

inline constexpr const char* host = "dns.good.example";
inline constexpr const char* tls_1_2 = "NORMAL:-VERS-ALL:+VERS-TLS1.2";

/// What all tests need. Made once: nothing in it is ever changed.
struct World {
    Certificate root{issue({.common_name = "root", .authority = true})};
    Certificate leaf{issue({.dns = {host}}, &root)};
    TemporaryFile trust{root.pem()};
    ClientContext context{trust.path()};
    Service service{{&leaf}, leaf};
    Identity identity{*Identity::make(host, {})};
};

inline const World& world() {
    static const World made;
    return made;
}

/// A client and a server, not yet connected.
struct Pair {
    explicit Pair(const char* priority = "NORMAL", unsigned flags = 0)
        : client{world().context, world().identity, tickets}, server{world().service, priority,
                                                                     flags} {}

    /// Carries the handshake through; fails the test where it fails.
    void shake() {
        carry(client, server);
        assert_true(client.stream.ready());
        assert_true(server.shaken);
    }

    Tickets tickets;
    Client client;
    Server server;
};

/// The session failed for `reason`, and stays failed whatever is tried.
inline void assert_failed(Pair& pair, const char* reason) {
    assert_int_equal(pair.client.last, Io::failed);
    assert_int_equal(pair.client.stream.failure(), Failure::protocol);
    assert_string_equal(pair.client.stream.reason().c_str(), reason);
    assert_int_equal(pair.client.stream.handshake(), Io::failed);
    assert_int_equal(pair.client.stream.send(octets("query")), Io::failed);
    pair.client.take(octets("more"));
    assert_int_equal(pair.client.last, Io::failed);
    assert_string_equal(pair.client.stream.reason().c_str(), reason);
}

} // namespace dotproxy::tls::test
