// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Statistics: what became of the queries that the load generator sent. A query belongs to the
// measured window when it was sent in it, whenever its answer came.

#pragma once

#include "base/clock.hh"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dotproxy::bench {

class Statistics {
  public:
    /// Bins of `bin` length count queries by when they were sent; zero: none are kept.
    explicit Statistics(Milliseconds bin) : bin_{bin} {}

    /// Starts the window: what is sent from now on counts.
    void open(TimePoint now, std::size_t expected_answers) {
        begin_ = now;
        latencies_.reserve(expected_answers);
    }

    /// Ends the window.
    void close(TimePoint now) noexcept { end_ = now; }

    void sent(TimePoint when);
    /// An answer has come to what was sent at `when`; `good`: it says what was asked for.
    void answered(TimePoint when, TimePoint now, bool good);

    /// A record of TLS has come.
    void record(TimePoint now) noexcept { records_ += in_window(now) ? 1U : 0U; }

    /// No answer has come in time, or none can come any more.
    void lost(TimePoint when) noexcept;

    /// One line "key=value ..."; latencies in microseconds. Then a line "bin INDEX SENT ANSWERED"
    /// for each bin.
    void print();

  private:
    struct Bin {
        std::uint32_t sent{0};
        std::uint32_t answered{0};
    };

    [[nodiscard]] bool in_window(TimePoint when) const noexcept {
        return when >= begin_ && when < end_;
    }

    [[nodiscard]] Bin* bin_of(TimePoint when);
    [[nodiscard]] double percentile(double share) noexcept;

    Milliseconds bin_;
    TimePoint begin_{TimePoint::max()};
    TimePoint end_{TimePoint::max()};
    std::uint64_t sent_{0};
    std::uint64_t received_{
        0}; // good ones that came within the window, whenever they were asked for
    std::uint64_t records_{0};
    std::uint64_t failed_{0}; // answers that are not good
    std::uint64_t lost_{0};
    std::vector<float> latencies_; // one for each good answer, in microseconds
    std::vector<Bin> bins_;
};

} // namespace dotproxy::bench
