// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the tests of the server's side start from: certificates in files, a ServerContext of them,
// and a ServerStream with a client over memory.

#pragma once

#include "base/address.hh"
#include "tls/peer.hh"
#include "tls/pki.hh"
#include "tls/server_context.hh"
#include "tls/server_stream.hh"
#include "unit.hh"

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace dotproxy::tls::test {

inline KeyPair pair_of(const Certificate& certificate) {
    const TemporaryFile chain{certificate.pem()};
    const TemporaryFile key{certificate.key_pem()};
    return KeyPair::load(chain.path(), key.path());
}

inline std::vector<KeyPair> pairs_of(const std::vector<const Certificate*>& certificates) {
    std::vector<KeyPair> pairs;
    for (const Certificate* one : certificates) {
        pairs.push_back(pair_of(*one));
    }
    return pairs;
}

inline std::shared_ptr<const TicketKey> ticket_key() {
    static const auto made = std::make_shared<const TicketKey>();
    return made;
}

inline Address at(const char* literal) {
    return *Address::parse(literal, 853);
}

/// A ServerStream and what it gave.
struct Clerk {
    explicit Clerk(const ServerContext& context, const Address& local = at("192.0.2.53"),
                   const Offer& offer = {.dot = true})
        : stream{context, local, offer, output} {}

    void take(std::span<const std::uint8_t> ciphertext) {
        stream.feed(ciphertext);
        drain();
    }

    void take_end() {
        stream.feed_end();
        drain();
    }

    void drain() {
        if (!stream.ready()) {
            last = stream.handshake();
        }
        std::array<std::uint8_t, 16384> room{};
        std::size_t size = 0;
        while (stream.ready() && (last = stream.receive(room, size)) == Io::done) {
            plain.append(reinterpret_cast<const char*>(room.data()), size);
        }
    }

    Buffer output;
    ServerStream stream;
    std::string plain;
    Io last{Io::again};
};

/// Carries octets both ways until neither end has more to say; so many at a time to the server.
inline void carry(AnyClient& client, Clerk& clerk, std::size_t at_a_time = 1U << 20U) {
    client.take({});
    while (!client.output.empty() || !clerk.output.empty()) {
        const Octets up = std::exchange(client.output, {});
        for (std::size_t i = 0; i < up.size(); i += at_a_time) {
            clerk.take(std::span{up}.subspan(i, std::min(at_a_time, up.size() - i)));
        }
        const auto view = clerk.output.view();
        const Octets down{view.begin(), view.end()};
        clerk.output.clear();
        client.take(down);
    }
}

} // namespace dotproxy::tls::test
