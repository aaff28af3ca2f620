// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TlsChannel: what a client over TLS has besides, from when its handshake begins: the session, and
// answers that wait to be sealed together.

#pragma once

#include "base/buffer.hh"
#include "base/deadline.hh"
#include "front/handshakes.hh"
#include "tls/server_stream.hh"

#include <utility>

namespace dotproxy {

struct TcpClient;

/// It is a Deadline for how long it may keep its seat when others wait for one.
struct TlsChannel final : Deadline {
    /// `out`: where records go.
    TlsChannel(TcpClient& its_client, const tls::ServerContext& context, const Address& local,
               const tls::Offer& offer, Buffer& out, Handshakes::Seat its_seat) noexcept
        : client{its_client}, stream{context, local, offer, out}, seat{std::move(its_seat)} {}

    TcpClient& client;
    tls::ServerStream stream;
    Buffer plain;          // answers of this turn, in their frames
    Handshakes::Seat seat; // until the handshake is over
};

} // namespace dotproxy
