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

// Half of the room is some 20 ms of a worker's time, where it has as much as is asked for: less
// than that may be what clients have under way that wait for their answers. Where there is a price
// it rises as long as there is a queue at all; else it would swing with it.
constexpr std::uint32_t long_part = 2;
constexpr std::uint32_t long_part_when_dear = 16;

} // namespace

bool QueuePrice::note_batch(bool full, TimePoint now) noexcept {
    if (price_.count() == 0 && (!full || !busy_)) {
        busy_ = full;
        begin_window(now);
        return false;
    }
    // A process that is held up now and then finds a queue each time, however soon it is through.
    emptied_ = emptied_ || !full;
    if (now - window_ < between_looks) {
        return false;
    }
    if (emptied_) {
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

bool QueuePrice::is_long(const ReceiveQueue& queue) const noexcept {
    const std::uint32_t part = price_.count() == 0 ? long_part : long_part_when_dear;
    return queue.room > 0 && queue.held >= queue.room / part;
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
    emptied_ = false;
}

} // namespace dotproxy
