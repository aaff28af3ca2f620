// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Deadlines. All timers have one of a handful of fixed durations, so each duration is a FIFO:
// arming appends, disarming unlinks, the head is the nearest. Every operation is O(1).

#pragma once

#include "base/clock.hh"

#include <utility>

namespace dotproxy {

/// What can stand in one DeadlineQueue at a time; derive from it. Leaves its queue when destroyed.
class Deadline {
  public:
    Deadline() noexcept = default;
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;

    ~Deadline() { disarm(); }

    [[nodiscard]] bool armed() const noexcept { return next_ != nullptr; }

    /// When it expires; meaningful while armed.
    [[nodiscard]] TimePoint at() const noexcept { return at_; }

    void disarm() noexcept {
        if (armed()) {
            previous_->next_ = next_;
            next_->previous_ = previous_;
            previous_ = next_ = nullptr;
        }
    }

  private:
    template <class>
    friend class DeadlineQueue;

    Deadline* previous_{nullptr};
    Deadline* next_{nullptr};
    TimePoint at_{};
};

/// The deadlines of one duration, soonest first. `Item` derives from Deadline.
template <class Item>
class DeadlineQueue {
  public:
    explicit DeadlineQueue(Clock::duration duration) noexcept : duration_{duration} {
        ring_.previous_ = ring_.next_ = &ring_;
    }

    [[nodiscard]] Clock::duration duration() const noexcept { return duration_; }

    [[nodiscard]] bool empty() const noexcept { return ring_.next_ == &ring_; }

    /// (Re)starts `item`, wherever it stood before. `now` never goes backwards.
    void arm(Item& item, TimePoint now) noexcept {
        Deadline& node = item;
        node.disarm();
        node.at_ = now + duration_;
        node.previous_ = ring_.previous_;
        node.next_ = &ring_;
        ring_.previous_->next_ = &node;
        ring_.previous_ = &node;
    }

    /// Takes out and returns the first item that is due; nullptr when none is.
    [[nodiscard]] Item* pop(TimePoint now) noexcept {
        if (empty() || ring_.next_->at_ > now) {
            return nullptr;
        }
        Deadline* node = ring_.next_;
        node->disarm();
        return static_cast<Item*>(node);
    }

    /// Lowers `earliest` to this queue's first deadline.
    void soonest(TimePoint& earliest) const noexcept {
        if (!empty() && ring_.next_->at_ < earliest) {
            earliest = ring_.next_->at_;
        }
    }

  private:
    Deadline ring_;
    Clock::duration duration_;
};

} // namespace dotproxy
