// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Handover: the way open TCP connections of clients take from a draining worker to the next
// generation, so that a reload does not cut them. One socket pair that the master holds for its
// life; each message is one connection and the octets of a query that had been read of it already.

#pragma once

#include "base/address.hh"
#include "base/fd.hh"

#include <cstdint>
#include <span>

namespace dotproxy {

/// Both ends; every worker has both, a draining one uses `in`, the others `out`.
struct Handover {
    Fd in;
    Fd out;
};

/// Throws std::system_error.
[[nodiscard]] Handover make_handover();

/// Whom the connection is to that is handed over.
struct Handed {
    enum class Kind : std::uint8_t {
        client,    // whom a worker has served, not over TLS: a session cannot be handed over
        announced, // the same, of whom a proxy has said who it is (E76)
        newcomer,  // to whom nobody has listened yet: what it speaks is a question of where it came
    };

    Kind kind{Kind::client};
    Address announced{}; // its address
};

/// Sends a connection; the caller still owns (and then closes) its copy. false: not now, try later.
[[nodiscard]] bool hand_over(const Handover& handover, int connection,
                             std::span<const std::uint8_t> unread,
                             const Handed& what = {}) noexcept;

/// Takes one connection, with `unread` written to the front of `room` and its size to `size`, and
/// to `what`, unless that is nullptr, what it is. An empty Fd, by errno: EAGAIN, there is none (or
/// another worker was quicker); EMFILE or ENOMEM, no room for a descriptor: it stays in the queue;
/// EBADMSG, it was lost on its way.
[[nodiscard]] Fd take_over(const Handover& handover, std::span<std::uint8_t> room,
                           std::size_t& size, Handed* what = nullptr) noexcept;

} // namespace dotproxy
