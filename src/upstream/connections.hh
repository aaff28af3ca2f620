// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Connections: all connections of a worker to its upstreams, and which of them is for what.

#pragma once

#include "upstream/connection.hh"
#include "upstream/endpoint.hh"
#include "upstream/lanes.hh"

#include <cstddef>
#include <limits>
#include <memory>
#include <vector>

namespace dotproxy {

class Connections {
  public:
    /// Of no endpoint: behind all ranks.
    static constexpr unsigned no_rank = std::numeric_limits<unsigned>::max();

    /// Takes one over, which lives until it is closed and buried.
    Connection& add(std::unique_ptr<Connection> connection) {
        return *all_.emplace_back(std::move(connection));
    }

    /// The connection that takes an inquiry of this lane now: of the most preferred upstream, or to
    /// `endpoint`; nullptr if none.
    [[nodiscard]] Connection* pick(unsigned lane,
                                   const Endpoint* endpoint = nullptr) const noexcept;

    /// The most preferred rank of those that serve a lane, or will do so when they are idle;
    /// no_rank if there are none.
    [[nodiscard]] unsigned best_rank(unsigned lane) const noexcept;

    /// Whether there is a race in a lane, or one that was let in has to prove itself; with
    /// `endpoint`, whether that one takes part.
    [[nodiscard]] bool attempting(unsigned lane, const Endpoint* endpoint = nullptr) const noexcept;

    /// How many of a lane's connections to an endpoint are ready and of use to it, full or not.
    [[nodiscard]] std::size_t ready(unsigned lane, const Endpoint& endpoint) const noexcept;

    /// How many inquiries are in flight in a lane.
    [[nodiscard]] std::size_t in_flight(unsigned lane) const noexcept;

    /// Frees those that are closed.
    void bury() noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }

    [[nodiscard]] auto begin() const noexcept { return all_.begin(); }

    [[nodiscard]] auto end() const noexcept { return all_.end(); }

  private:
    std::vector<std::unique_ptr<Connection>> all_;
};

} // namespace dotproxy
