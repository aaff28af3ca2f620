// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Door: what is spoken at a listening socket for streams, and to whom.

#pragma once

#include "base/address.hh"
#include "config/config.hh"
#include "http/server.hh"
#include "tls/server_stream.hh"

#include <cstdint>

namespace dotproxy {

/// What lies between what is said and the socket.
enum class Transport : std::uint8_t { plain, tls };

struct Door {
    /// DNS in frames, as it was in the beginning (RFC 7766), for `everybody`. Both outlive it.
    explicit Door(const Access& everybody) : access{everybody} {}

    /// What is said of a listener; `everybody`: who may ask where it says nothing of that.
    Door(const ListenConfig& listen, const Access& everybody)
        : transport{listen.speaks_tls() ? Transport::tls : Transport::plain},
          speaks{.dot = listen.tcp || listen.dot, .http = listen.doh || listen.http},
          service{.path = listen.path,
                  .cors = listen.cors,
                  .forwarded = !listen.trusted.empty() && !listen.proxy_protocol},
          access{listen.allow ? *listen.allow : everybody}, here{&listen} {}

    /// Whether `peer` is a proxy, which says of its connection (E74), or of each request (E73),
    /// whose it is.
    [[nodiscard]] bool trusts(const Address& peer) const noexcept {
        return here != nullptr && here->trusts(peer);
    }

    /// Whether nobody else may come.
    [[nodiscard]] bool is_for_proxies() const noexcept {
        return here != nullptr && here->is_for_proxies();
    }

    /// Whether a connection begins with whose it is (E74).
    [[nodiscard]] bool announces() const noexcept {
        return here != nullptr && here->proxy_protocol;
    }

    /// Whether a worker that drains can hand its clients over: nobody else could go on with a
    /// session, be it of TLS or HTTP (E62).
    [[nodiscard]] bool can_hand_over() const noexcept {
        return transport == Transport::plain && !speaks.http;
    }

    Transport transport{Transport::plain};
    tls::Offer speaks{.dot = true, .http = false};
    http::Service service{};
    const Access& access;              // who may ask
    const ListenConfig* here{nullptr}; // nullptr: nothing is said of where it is
};

} // namespace dotproxy
