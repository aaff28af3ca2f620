// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/queue_price.hh"

#include <algorithm>
#include <cmath>

namespace dotproxy {

namespace {

// Below that a source could pay for a million questions a second, which no worker reads.
constexpr std::chrono::nanoseconds lowest{1000};

constexpr double rise = 1.2;
constexpr double decline = 0.95; // for each window
constexpr double decline_guarded = 0.8;

// To read a datagram and drop it takes a sixth of what an answer from the cache takes: with so many
// dropped for one taken, nearly half of the time goes into dropping.
constexpr std::uint32_t dropped_for_one = 5;

// So much of a queue is long: with the room that is asked for, some 10 ms of a worker's time. The
// kernel counts up to a quarter of the room as held for a while after it has been read.
constexpr std::uint32_t long_part = 2;

bool is_long(const ReceiveQueue& queue) noexcept {
    return queue.room > 0 && queue.held >= queue.room / long_part;
}

} // namespace

bool QueuePrice::note_batch(bool full, TimePoint now) noexcept {
    if (price_.count() == 0 && (!full || !busy_)) {
        busy_ = full;
        begin_window(now);
        return false;
    }
    if (now - window_ < between_looks) {
        return false;
    }
    if (!full) {
        fall(now);
        return false;
    }
    return true;
}

void QueuePrice::look(const ReceiveQueue& queue, TimePoint now) noexcept {
    if (dropped_ / dropped_for_one > taken_) {
        price_ = std::chrono::duration_cast<std::chrono::nanoseconds>(price_ * decline_guarded);
    } else if (is_long(queue) && paid_ >= taken_ / 2) {
        const auto more = std::chrono::duration_cast<std::chrono::nanoseconds>(price_ * rise);
        price_ = std::clamp<std::chrono::nanoseconds>(more, lowest, highest);
    } else {
        fall(now);
        return;
    }
    begin_window(now);
}

/// As often as it could have been looked at since.
void QueuePrice::fall(TimePoint now) noexcept {
    const double windows = std::floor(std::chrono::duration<double>{now - window_} /
                                      std::chrono::duration<double>{between_looks});
    price_ =
        std::chrono::duration_cast<std::chrono::nanoseconds>(price_ * std::pow(decline, windows));
    if (price_ < lowest) {
        price_ = std::chrono::nanoseconds{0};
        busy_ = false;
    }
    begin_window(now);
}

void QueuePrice::begin_window(TimePoint now) noexcept {
    window_ = now;
    taken_ = paid_ = dropped_ = 0;
}

} // namespace dotproxy
