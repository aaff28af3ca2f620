// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpDeadlines: how long a TCP client has to ask something, and to read what it has been answered.
// Who has run out of time is closed by the TcpFront.

#pragma once

#include "base/deadline.hh"
#include "config/config.hh"
#include "front/tcp_client.hh"
#include "front/tcp_places.hh"
#include "shared/counted.hh"

#include <array>
#include <cstdint>

namespace dotproxy {

class TcpDeadlines {
  public:
    /// `places`, of all connections and of those over TLS, outlive it, and say how much of the time
    /// is left where they are scarce.
    TcpDeadlines(const Config& config, const TcpPlaces& places,
                 const TcpPlaces& tls_places) noexcept;

    /// Gives the client the time that it has for what it does now, unless it has it already.
    void set(TcpClient& client, TimePoint now) noexcept;

    /// What an earlier worker wrote to the client and is under way counts as written here.
    static void adopt(TcpClient& client) noexcept;

    /// A client that has not asked in time; `why`: what it counts as. nullptr: none.
    [[nodiscard]] TcpClient* pop(TimePoint now, Counter& why) noexcept;
    /// One that does not read what it asked for. nullptr: none.
    [[nodiscard]] TcpClient* pop_deaf(TimePoint now) noexcept;
    /// Who makes way where there is no place: has not asked yet, or longest ago. nullptr: none.
    [[nodiscard]] TcpClient* pop_idlest() noexcept;
    /// The same among those over TLS.
    [[nodiscard]] TcpClient* pop_idlest_over_tls() noexcept;

    void soonest(TimePoint& earliest) const noexcept;

    /// How long a client may be idle, as things are.
    [[nodiscard]] Clock::duration idle_time(Transport transport) const noexcept;

  private:
    using Queue = DeadlineQueue<TcpClient>;

    /// Of the clients of one transport.
    struct Patience {
        Queue first_query; // from accept, or the handshake, to the first whole query (L26)
        Queue idle;        // nothing in flight; only a whole query counts (C10)
    };

    [[nodiscard]] Patience& patience_with(const TcpClient& client) noexcept {
        return client.over_tls() ? secured_ : client.door.service.forwarded ? proxies_ : plain_;
    }

    [[nodiscard]] Clock::duration kept(Clock::duration most, Transport transport) const noexcept;
    /// Takes out a client whose time in a queue is over.
    [[nodiscard]] TcpClient* pop(Queue& queue, Transport transport, TimePoint now) const noexcept;
    void soonest(const Queue& queue, Transport transport, TimePoint& earliest) const noexcept;
    void watch_reading(TcpClient& client, std::uint64_t read, TimePoint now) noexcept;
    [[nodiscard]] static std::uint64_t under_way(const TcpClient& client) noexcept;
    [[nodiscard]] static std::uint64_t read_by(const TcpClient& client) noexcept;
    [[nodiscard]] static bool permits_too_little(const TcpClient& client) noexcept;

    const TcpPlaces& places_;
    const TcpPlaces& tls_places_;
    Queue announcing_;     // from accept to the end of a proxy's header (E20)
    Queue announcing_tls_; // the same where TLS comes after it
    Queue shaking_;        // and from there to that of the handshake
    Patience plain_;
    Patience secured_;
    Patience proxies_;                          // which speak HTTP in the clear
    DeadlineQueue<TcpClient::Reading> reading_; // answers that are under way
};

} // namespace dotproxy
