// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// QueuePrice: what a question over UDP costs its source while more come than can be answered. Then
// some are dropped, whatever we do; the kernel drops everybody's alike. This has those pay who ask
// most: the price rises while the queue is long, each source can pay the same in a second, and so
// all that asks little is answered and what is too much is dropped unread. It is nothing while
// there is time for all, however much one source asks.
//
// It does not rise where most of the questions come from who pays nothing, which it would not stop.
//
// Whoever reads in order to drop answers nobody meanwhile. So the price falls, however long the
// queue is, where dropping takes more of the time than answering: what is too much even for that
// only the kernel can drop.

#pragma once

#include "base/clock.hh"
#include "base/receive_queue.hh"

#include <chrono>
#include <cstdint>

namespace dotproxy {

class QueuePrice {
  public:
    /// So often the queue is looked at while there is reason to, and the price changes.
    static constexpr std::chrono::milliseconds between_looks{5};
    /// No question costs more: a source that asks a hundred times a second is never too much.
    static constexpr std::chrono::microseconds highest{10'000};

    /// What one question costs; zero: nothing.
    [[nodiscard]] std::chrono::nanoseconds price() const noexcept { return price_; }

    /// A question was read and taken; of somebody who pays for it, or who never does.
    void note_taken(bool pays) noexcept {
        ++taken_;
        paid_ += pays ? 1 : 0;
    }

    /// One was read and dropped.
    void note_dropped() noexcept { ++dropped_; }

    /// Whether so long has passed since the price last changed that it says nothing about the queue
    /// any more: nobody asked, or this process was held up. It is to be looked at before a batch is
    /// charged.
    [[nodiscard]] bool is_old(TimePoint now) const noexcept {
        return price_.count() > 0 && now - window_ >= 2 * between_looks;
    }

    /// A batch was read. `full`: there may be more in the queue. true: the queue is to be looked
    /// at.
    [[nodiscard]] bool note_batch(bool full, TimePoint now) noexcept;
    /// What was found there.
    void look(const ReceiveQueue& queue, TimePoint now) noexcept;

  private:
    [[nodiscard]] bool is_long(const ReceiveQueue& queue) const noexcept;
    void begin_window(TimePoint now) noexcept;
    void fall(TimePoint now) noexcept;

    std::chrono::nanoseconds price_{0};
    TimePoint window_{};  // when the price last changed, or, without one, batches began to be full
    bool busy_{false};    // every batch since then has been full
    bool emptied_{false}; // one in this window was not
    std::uint32_t taken_{0}; // in this window
    std::uint32_t paid_{0};  // of those
    std::uint32_t dropped_{0};
};

} // namespace dotproxy
