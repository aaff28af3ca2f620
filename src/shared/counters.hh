// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Counters: one slot of numbers a worker, in memory that the master sees too. Only the slot's
// worker writes it, so nothing is locked and nothing needs repair when the worker dies. It is never
// cleared: whoever has the slot next adds to what is there.

#pragma once

#include "shared/histogram.hh"
#include "shared/tally.hh"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace dotproxy {

/// What was counted and measured of one address of an upstream.
class UpstreamCounts : public Tallies<UpstreamCounter, ConnectFailure, ClosedBy> {
  public:
    [[nodiscard]] Histogram& time(UpstreamTime what) noexcept {
        return times_[static_cast<std::size_t>(what)];
    }

    [[nodiscard]] const Histogram& time(UpstreamTime what) const noexcept {
        return times_[static_cast<std::size_t>(what)];
    }

    /// Adds all of it to `other` and begins anew, for who writes both.
    void move_to(UpstreamCounts& other) noexcept {
        Tallies::move_to(other);
        for_each_of<UpstreamTime>([&](UpstreamTime what) { time(what).move_to(other.time(what)); });
    }

  private:
    std::array<Histogram, count_of<UpstreamTime>> times_;
};

/// So many addresses of upstreams have a row of their own.
constexpr unsigned upstream_rows = 64;
/// The row of all that found none free, and of those that had to give theirs to another.
constexpr unsigned other_upstreams = upstream_rows;

/// The numbers of one worker, or of the master.
class alignas(64) Counters : public Tallies<Counter, QueryType, ResponseCode, FailureReason,
                                            TlsFailure, RestartReason, ReloadResult> {
  public:
    /// How long answers took, from where the question was read.
    [[nodiscard]] Histogram& duration(Outcome outcome) noexcept {
        return durations_[static_cast<std::size_t>(outcome)];
    }

    [[nodiscard]] const Histogram& duration(Outcome outcome) const noexcept {
        return durations_[static_cast<std::size_t>(outcome)];
    }

    /// How long the turns of the worker's loop took.
    [[nodiscard]] Histogram& turns() noexcept { return turns_; }

    [[nodiscard]] const Histogram& turns() const noexcept { return turns_; }

    /// Of the upstream's address that has this row; see CounterLease.
    [[nodiscard]] UpstreamCounts& upstream(unsigned row) noexcept { return upstreams_[row]; }

    [[nodiscard]] const UpstreamCounts& upstream(unsigned row) const noexcept {
        return upstreams_[row];
    }

    /// Where the worker leaves the system call that its sandbox killed it for; 0: none. See
    /// sandbox/call.hh.
    [[nodiscard]] std::atomic<std::uint64_t>& forbidden_call() noexcept { return forbidden_call_; }

    /// Zeroes the gauges; for the master, when the worker is dead (L48).
    void clear_gauges() noexcept {
        for (auto i = static_cast<std::size_t>(first_gauge); i < count_of<Counter>; ++i) {
            set(static_cast<Counter>(i), 0);
        }
    }

  private:
    std::atomic<std::uint64_t> forbidden_call_{0};
    std::array<Histogram, count_of<Outcome>> durations_;
    Histogram turns_;
    std::array<UpstreamCounts, upstream_rows + 1> upstreams_;
};

} // namespace dotproxy
