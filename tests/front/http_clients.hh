// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Clients that ask over HTTP/2: an nghttp2 of their own, over TLS or in the clear as a proxy does.

#pragma once

#include "front/tls_clients.hh"
#include "http/peer.hh"
#include "unit.hh"
#include "worker/rig.hh"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace dotproxy::test {

using http::test::Fields;
using http::test::Reply;

inline std::string text_of(const Message& message) {
    return {message.begin(), message.end()};
}

/// What is in the body of a reply.
inline Message message_in(const Reply& reply) {
    return {reply.body.begin(), reply.body.end()};
}

class HttpsClient {
  public:
    explicit HttpsClient(const Address& server, std::string_view protocol = "h2") : over{server} {
        if (!protocol.empty()) {
            over.tls.offer(protocol);
        }
        http.greet();
    }

    void step() {
        over.step();
        if (over.tls.shaken) {
            say(http.sent());
            over.step();
            http.take(std::exchange(over.tls.received, {}));
        }
    }

    /// Octets as they are, in a record of their own.
    void say(const std::string& octets) {
        if (!octets.empty()) {
            over.tls.say(octets);
        }
    }

    TlsClient over;
    http::test::Peer http;
};

/// In the clear.
class HttpClient {
  public:
    explicit HttpClient(const Address& server) : over{server} { http.greet(); }

    void step() {
        const std::string said = http.sent();
        over.send_raw(http::test::octets_of(said));
        http.take(text_of(over.take_raw()));
    }

    TcpClient over;
    http::test::Peer http;
};

template <class Client>
std::unique_ptr<Client> connect_http(Rig& rig, const Address& server) {
    const std::uint64_t before = rig.count(Counter::tcp_accepted);
    auto client = std::make_unique<Client>(server);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_accepted) > before; }));
    return client;
}

inline std::unique_ptr<HttpsClient> connect_https(Rig& rig) {
    return connect_http<HttpsClient>(rig, rig.tls_address());
}

/// Until the stream has been answered, and whole.
template <class Client>
const Reply& reply_to(Rig& rig, Client& client, std::int32_t stream) {
    assert_true(rig.until([&] {
        client.step();
        return client.http.reply(stream).closed;
    }));
    return client.http.reply(stream);
}

/// Asks by POST.
template <class Client>
std::int32_t post(Client& client, const Message& message, const Fields& fields = {}) {
    return client.http.post(text_of(message), true, fields);
}

/// Asks and is answered.
template <class Client>
void exchange_http(Rig& rig, Client& client, std::uint16_t id, const Fields& fields = {}) {
    const Reply& reply = reply_to(rig, client, post(client, query("www.example", id), fields));
    assert_int_equal(reply.status, 200);
    assert_int_equal(dns::id(message_in(reply)), id);
    assert_int_equal(rcode(message_in(reply)), 0);
}

} // namespace dotproxy::test
