// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Listener: a bound socket that questions come in on. Opened by the master, shared by all workers.

#pragma once

#include "base/address.hh"
#include "base/fd.hh"

#include <cstdint>
#include <string>

namespace dotproxy {

enum class Protocol : std::uint8_t { udp, tcp };

/// A bound (and for TCP listening) non-blocking socket.
struct Listener {
    Protocol protocol{Protocol::udp};
    Address address;
    Fd socket;

    /// "udp 127.0.0.1:5300"
    [[nodiscard]] std::string text() const;
};

/// Binds a socket. The address need not be there yet (IP_FREEBIND). Throws std::system_error whose
/// text names the listener.
[[nodiscard]] Listener open_listener(Protocol protocol, const Address& address);

/// Takes a socket that somebody else bound (socket activation) and sets it up in the same way.
/// Throws std::system_error when it is no UDP or listening TCP socket over IP.
[[nodiscard]] Listener adopt_listener(Fd socket);

} // namespace dotproxy
