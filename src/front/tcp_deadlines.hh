// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpDeadlines: how long a TCP client has for what it does now. A connection stands in one of the
// queues at a time; who has run out is closed by the TcpFront.

#pragma once

#include "base/deadline.hh"
#include "config/config.hh"
#include "front/tcp_client.hh"
#include "shared/counted.hh"

#include <cstdint>

namespace dotproxy {

class TcpDeadlines {
  public:
    explicit TcpDeadlines(const Config& config) noexcept;

    /// Gives the client the time that it has for what it does now, unless it has it already.
    void set(TcpClient& client, TimePoint now) noexcept;

    /// A client that has run out of time; `why`: what it counts as. nullptr: none.
    [[nodiscard]] TcpClient* pop(TimePoint now, Counter& why) noexcept;
    /// Who makes way where there is no place: has not asked yet, or longest ago. nullptr: none.
    [[nodiscard]] TcpClient* pop_idlest() noexcept;

    void soonest(TimePoint& earliest) const noexcept;

  private:
    void watch_reading(TcpClient& client, TimePoint now) noexcept;
    [[nodiscard]] static std::uint64_t read_by(const TcpClient& client) noexcept;

    DeadlineQueue<TcpClient> first_query_; // from accept to the first whole query (L26)
    DeadlineQueue<TcpClient> idle_;        // nothing in flight; only a whole query counts (C10)
    DeadlineQueue<TcpClient> writing_;     // answers that the client does not read
};

} // namespace dotproxy
