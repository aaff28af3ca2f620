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

/// A bound (and for TCP listening) non-blocking socket. What suspend(), resume() and share_port()
/// do is done to the socket itself, and so for every process that holds a descriptor of it.
struct Listener {
    Protocol protocol{Protocol::udp};
    Address address;
    Fd socket;
    bool dual_stack{false}; // bound to [::] by somebody else, and takes IPv4 as well

    /// "udp 127.0.0.1:5300"
    [[nodiscard]] std::string text() const;

    /// Whether what is sent to `other` reaches this socket, as long as no closer one is bound.
    [[nodiscard]] bool covers(Protocol its_protocol, const Address& other) const noexcept;
    /// Whether the kernel lets only one of the two be bound.
    [[nodiscard]] bool overlaps(Protocol its_protocol, const Address& other) const noexcept;

    /// Takes nothing new: what comes goes to another socket on the port, or is refused. Datagrams
    /// in the queue stay there to be read, and answers still leave; connections in the queue are
    /// reset.
    void suspend() const noexcept;
    /// Undoes suspend() for TCP, beside what overlaps and shares the port. false: it does not
    /// listen again, or is UDP, of which the kernel keeps a part of what suspend() has set. Nothing
    /// to undo: true.
    [[nodiscard]] bool resume() const noexcept;
    [[nodiscard]] bool is_suspended() const noexcept;

    /// Whether open_listener() may bind beside this one. As long as it may, so may any process of
    /// the account that owns the socket, if it asks to share as well; of TCP the kernel remembers
    /// that for as long as the port is bound.
    void share_port(bool shared) const noexcept;
};

/// With whom a socket that is being bound has to get on.
enum class Beside : std::uint8_t {
    nobody,
    sharers, // those that overlap and for which share_port(true) was called
};

/// Binds a socket. The address need not be there yet (IP_FREEBIND). Throws std::system_error whose
/// text names the listener.
[[nodiscard]] Listener open_listener(Protocol protocol, const Address& address,
                                     Beside beside = Beside::nobody);

/// Takes a socket that somebody else bound (socket activation) and sets it up in the same way.
/// Throws std::system_error when it is no UDP or listening TCP socket over IP.
[[nodiscard]] Listener adopt_listener(Fd socket);

} // namespace dotproxy
