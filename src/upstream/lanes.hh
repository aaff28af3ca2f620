// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Lanes: the inquiries that wait for a connection, in the order in which they are served. Lane 0 is
// for all, and asks whichever upstream is the best. Then come side lanes, for those that may have
// broken a connection (see Upstreams): first the group lanes, whose connections carry many at a
// time, then the single ones. Where a failure takes questions to another upstream there are two
// more for each of those (see Failover): one for many, and a single side lane.

#pragma once

#include "base/clock.hh"
#include "upstream/inquiry.hh"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace dotproxy {

constexpr unsigned group_lanes = 8;
constexpr unsigned single_lanes = 8;
constexpr unsigned first_single_lane = 1 + group_lanes;
constexpr unsigned first_upstream_lane = first_single_lane + single_lanes;

// So many questions that lost a connection are not worth being divided among several.
constexpr std::size_t small_group = 16;

/// Between attempts of a lane to connect, at the least, where none is ready.
constexpr Clock::duration shortest_pause = std::chrono::milliseconds{50};

/// Where a question that lost its first connection is asked again, together with others.
/// `load(lane)`: how many questions travel in a lane or wait for it.
template <class Load>
[[nodiscard]] std::uint8_t group_lane(Load load) noexcept {
    std::uint8_t best = 1;
    for (std::uint8_t lane = 1; lane < first_single_lane; ++lane) {
        const std::size_t size = load(lane);
        if (size < small_group) {
            return lane;
        }
        best = size < load(best) ? lane : best;
    }
    return best;
}

/// Where a question that lost two connections is asked for the last time, alone.
template <class Load>
[[nodiscard]] std::uint8_t single_lane(Load load) noexcept {
    std::uint8_t best = first_single_lane;
    for (std::uint8_t lane = best + 1; lane < first_upstream_lane; ++lane) {
        best = load(lane) < load(best) ? lane : best;
    }
    return best;
}

/// The lane that asks the upstream of `rank` and no other.
[[nodiscard]] constexpr std::uint8_t upstream_lane(unsigned rank, bool single = false) noexcept {
    return static_cast<std::uint8_t>(first_upstream_lane + 2 * rank + (single ? 1 : 0));
}

/// Which upstream a lane asks; nullopt: any.
[[nodiscard]] constexpr std::optional<unsigned> upstream_of(unsigned lane) noexcept {
    return lane < first_upstream_lane ? std::nullopt
                                      : std::optional{(lane - first_upstream_lane) / 2};
}

/// Whether each connection of a lane carries one question, the only one it ever carries.
[[nodiscard]] constexpr bool is_single(unsigned lane) noexcept {
    return lane < first_upstream_lane ? lane >= first_single_lane
                                      : (lane - first_upstream_lane) % 2 == 1;
}

/// Whether a lane is for those that may have broken a connection.
[[nodiscard]] constexpr bool is_side(unsigned lane) noexcept {
    return is_single(lane) || (lane > 0 && lane < first_single_lane);
}

/// How long an idle connection of a lane is kept where `configured` is the most: one for questions
/// that may have broken another is not worth keeping.
[[nodiscard]] constexpr Clock::duration idle_limit(unsigned lane,
                                                   Clock::duration configured) noexcept {
    return is_side(lane) ? std::min<Clock::duration>(configured, std::chrono::seconds{1})
                         : configured;
}

/// Those that wait in one lane, and when more is done for them.
struct Lane {
    Inquiry* first{nullptr};
    Inquiry* last{nullptr};
    std::size_t queued{0};
    TimePoint next_attempt{TimePoint::min()}; // no attempt before, while another one is under way
    bool spare_wanted{false};                 // a connection, though nothing waits for it

    void push_back(Inquiry& inquiry) noexcept { insert(inquiry, last, nullptr); }

    void push_front(Inquiry& inquiry) noexcept { insert(inquiry, nullptr, first); }

    void remove(Inquiry& inquiry) noexcept;

  private:
    void insert(Inquiry& inquiry, Inquiry* previous, Inquiry* next) noexcept;
};

/// One for each number from 0; an inquiry's lane is where it stands, or would.
class Lanes {
  public:
    explicit Lanes(std::size_t size) : lanes_(size) {}

    [[nodiscard]] Lane& operator[](unsigned lane) noexcept { return lanes_[lane]; }

    [[nodiscard]] const Lane& operator[](unsigned lane) const noexcept { return lanes_[lane]; }

    void push_back(Inquiry& inquiry) noexcept {
        lanes_[inquiry.lane].push_back(inquiry);
        ++queued_;
    }

    void push_front(Inquiry& inquiry) noexcept {
        lanes_[inquiry.lane].push_front(inquiry);
        ++queued_;
    }

    void remove(Inquiry& inquiry) noexcept {
        lanes_[inquiry.lane].remove(inquiry);
        --queued_;
    }

    /// How many wait in all of them: nearly always nobody does, and none need be looked at.
    [[nodiscard]] std::size_t queued() const noexcept { return queued_; }

    [[nodiscard]] std::size_t size() const noexcept { return lanes_.size(); }

    [[nodiscard]] auto begin() noexcept { return lanes_.begin(); }

    [[nodiscard]] auto end() noexcept { return lanes_.end(); }

  private:
    std::vector<Lane> lanes_;
    std::size_t queued_{0};
};

} // namespace dotproxy
