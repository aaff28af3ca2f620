// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Client: whom to answer, by value. Front: the way back to clients of one transport.

#pragma once

#include "base/address.hh"
#include "base/clock.hh"
#include "base/slab.hh"
#include "dns/answer.hh"
#include "dns/query.hh"
#include "relay/standing.hh"

#include <netinet/in.h>
#include <optional>

namespace dotproxy {

class Front;

/// Where an answer has to go. Nothing in it needs to be alive but the front.
struct Client {
    Front* front{nullptr};
    Handle connection{};      // TCP
    std::uint32_t request{0}; // over HTTP: which of the connection's; 0: it came in a frame
    Address peer{};           // who asked; of UDP also where the answer goes,
    Address proxy{};          // unless it came through this one
    in6_addr local{}; // UDP on a wildcard address: the address that was asked, IPv4 in the first
    unsigned interface { 0 }; // four octets, and where it came in
    TimePoint asked_at{};     // the turn in which it was read
    Standing standing{};
    bool stream{false};    // each question gets an answer of its own
    bool verified{false};  // that the address is its own: a connection shows it, or a cookie
    bool encrypted{false}; // nobody else sees what is asked and answered

    /// Over UDP: whether an answer to one of them gets to the other.
    [[nodiscard]] bool same_way(const Client& other) const noexcept {
        return peer == other.peer && proxy == other.proxy && front == other.front;
    }
};

/// Takes answers to clients; they are sent at the end of the turn.
class Front {
  public:
    /// What an answer to `asker`, who is `client`, may look like here.
    [[nodiscard]] virtual dns::Channel channel(const Client& client,
                                               const dns::Asker& asker) const noexcept = 0;

    /// The address of this host that `client` has sent its question to; nullopt: that is not known,
    /// or it was a proxy's.
    [[nodiscard]] virtual std::optional<Address> asked_address(const Client& client) noexcept = 0;

    /// Room for an answer of at most `size` octets. Empty when the client is gone.
    [[nodiscard]] virtual dns::MutableOctets begin_answer(const Client& client,
                                                          std::size_t size) noexcept = 0;
    /// The answer in that room is `size` octets long. Follows each begin_answer() that gave room.
    virtual void end_answer(const Client& client, std::size_t size) noexcept = 0;

  protected:
    ~Front() = default;
};

} // namespace dotproxy
