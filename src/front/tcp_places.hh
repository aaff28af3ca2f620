// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpPlaces: how many connections there may be, of all clients and of one address (C15), what is
// taken of that by all workers, and what that leaves to those that are not in use. Whatever kind of
// stream a connection carries, it has a place here.

#pragma once

#include "base/clock.hh"
#include "relay/address_counts.hh"
#include "relay/standing.hh"
#include "shared/counted.hh"

#include <cstdint>

namespace dotproxy {

class CounterLease;

class TcpPlaces {
  public:
    /// Connections that were closed in a turn have their place until it ends.
    static constexpr unsigned spare = 64;

    /// `all`: the counters of all workers, for the common limit; `gauge`: which of them says how
    /// many there are.
    TcpPlaces(const CounterLease& all, Counter gauge, std::uint32_t limit);

    /// A place for one more from `peer`; it may be empty, or one too many.
    [[nodiscard]] AddressCounts::Place enter(const Address& peer, Standing standing) noexcept {
        return addresses_.enter(peer, standing.near);
    }

    /// Whether all places of all workers are taken.
    [[nodiscard]] bool full() const noexcept;
    /// Whether its source has too many with this one. `own`: the connections of this worker.
    [[nodiscard]] bool is_too_many(const AddressCounts::Place& place,
                                   std::uint64_t own) const noexcept;
    /// Looks how scarce places are, which changes with each connection of any worker.
    void look() noexcept;
    /// For how long a connection that is not in use has its place, of `most` when there are plenty
    /// (limits 37): as of the last look.
    [[nodiscard]] Clock::duration kept(Clock::duration most) const noexcept;

    /// Whether the other workers should come to the next connections first (L67).
    [[nodiscard]] bool more_than_its_share(std::uint64_t own) const noexcept;

  private:
    enum class Scarcity : std::uint8_t { none, some, great };

    [[nodiscard]] std::uint64_t taken() const noexcept;

    const CounterLease& all_;
    Counter gauge_;
    std::uint64_t limit_;
    AddressCounts addresses_;
    Scarcity scarcity_{Scarcity::none};
};

} // namespace dotproxy
