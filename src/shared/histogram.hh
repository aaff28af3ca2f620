// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Histogram: how often something took how long. Four buckets an octave, so that a quantile read
// from it is at most an eighth off; their bounds are binary, so that no search and no branch is
// needed to find one. One process writes it and others read it (shared/tally.hh).

#pragma once

#include "shared/tally.hh"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace dotproxy {

class Histogram {
  public:
    using Nanoseconds = std::chrono::nanoseconds;

    static constexpr std::size_t bucket_count = 88;

    /// In which bucket a time belongs. The first has all below 5 ticks of 1/1024 ms, the last all
    /// from 14.3 s on.
    [[nodiscard]] static constexpr std::size_t index(Nanoseconds time) noexcept {
        const auto bounded = static_cast<std::uint64_t>(
            std::clamp(time, Nanoseconds{0}, beyond - Nanoseconds{1}).count());
        const std::uint64_t ticks = std::max(bounded * 16 / 15625, std::uint64_t{4});
        const auto octave = static_cast<unsigned>(std::bit_width(ticks)) - 3;
        return octave * 4 + static_cast<unsigned>((ticks >> octave) & 3U);
    }

    /// Where a bucket ends: what is measured in it is less, by a tick at least. That of the last
    /// one is where others would follow.
    [[nodiscard]] static constexpr Nanoseconds end(std::size_t bucket) noexcept {
        const std::uint64_t ticks = (bucket % 4 + 5) << (bucket / 4);
        return Nanoseconds{static_cast<Nanoseconds::rep>((ticks * 15625 + 15) / 16)};
    }

    /// A time, and in which bucket it belongs, for who adds it to several.
    struct Measured {
        // NOLINTNEXTLINE(google-explicit-constructor): it is the same time
        Measured(Nanoseconds time) noexcept
            : bucket{index(time)}, nanoseconds{static_cast<std::uint64_t>(
                                       std::max(time, Nanoseconds{0}).count())} {}

        std::size_t bucket;
        std::uint64_t nanoseconds;
    };

    /// Takes in `n` times the same; what is negative counts as nothing.
    void add(const Measured& time, std::uint64_t n = 1) noexcept {
        buckets_[time.bucket].add(n);
        sum_.add(time.nanoseconds * n);
    }

    [[nodiscard]] std::uint64_t bucket(std::size_t index) const noexcept {
        return buckets_[index].get();
    }

    /// Of all that was taken in, in nanoseconds.
    [[nodiscard]] std::uint64_t sum() const noexcept { return sum_.get(); }

    /// Adds all of it to `other` and begins anew, for who writes both.
    void move_to(Histogram& other) noexcept {
        for (std::size_t i = 0; i < bucket_count; ++i) {
            buckets_[i].move_to(other.buckets_[i]);
        }
        sum_.move_to(other.sum_);
    }

  private:
    static constexpr Nanoseconds beyond{16'384'000'000}; // 2^24 ticks

    std::array<Number, bucket_count> buckets_;
    Number sum_;
};

/// What several histograms have in all, as read once. The count is that of the buckets read, so
/// that no reader sees one of which the sum is torn off.
struct HistogramTotal {
    std::array<std::uint64_t, Histogram::bucket_count> buckets{};
    std::uint64_t sum{0}; // nanoseconds

    void add(const Histogram& histogram) noexcept {
        for (std::size_t i = 0; i < Histogram::bucket_count; ++i) {
            buckets[i] += histogram.bucket(i);
        }
        sum += histogram.sum();
    }

    [[nodiscard]] std::uint64_t count() const noexcept {
        std::uint64_t total = 0;
        for (const std::uint64_t bucket : buckets) {
            total += bucket;
        }
        return total;
    }
};

} // namespace dotproxy
