// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Group: upstreams that stand in for each other, as whoever has inquiries sees them, whatever the
// way in which they are asked.

#pragma once

#include "base/clock.hh"
#include "upstream/inquiry.hh"

#include <cstddef>

namespace dotproxy {

class Group {
  public:
    Group() = default;
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;
    virtual ~Group() = default;

    /// Has an inquiry asked as soon as that can be done. What becomes of it is told to the
    /// Inquirer.
    virtual void submit(Inquiry& inquiry) noexcept = 0;
    /// The inquiry is over: whatever answer still comes for it is late.
    virtual void abandon(Inquiry& inquiry) noexcept = 0;

    /// Asks anew what was submitted long ago and is in flight in vain.
    void renew(Inquiry& inquiry) noexcept {
        abandon(inquiry);
        inquiry.begin_anew();
        submit(inquiry);
    }

    /// Whether no upstream works now.
    [[nodiscard]] virtual bool failing() const noexcept = 0;

    /// Why there is no answer, for those who waited in vain. The text lives until the next call.
    [[nodiscard]] virtual NoAnswer excuse() noexcept = 0;

    /// Sees whether every upstream works, once, with the next flush.
    virtual void start_check() noexcept = 0;
    virtual void stop_check() noexcept = 0;

    virtual void expire() noexcept = 0;
    virtual void soonest(TimePoint& earliest) noexcept = 0;
    virtual void flush() noexcept = 0;
    virtual void bury() noexcept = 0;
    /// Takes leave of every upstream, for the end of the process (C73).
    virtual void close_all() noexcept = 0;

    /// How many there are that questions can go over.
    [[nodiscard]] virtual std::size_t connections() const noexcept = 0;
};

} // namespace dotproxy
