// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Loop: a thin owner of one level-triggered epoll set. The order of a turn is its user's.

#pragma once

#include "base/clock.hh"
#include "base/fd.hh"

#include <cstdint>
#include <sys/epoll.h>

namespace dotproxy {

/// What wants to know when a descriptor is ready. Must outlive its place in the set, and the turn
/// in which it left it.
class Watch {
  public:
    /// `events`: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR ... as epoll gave them.
    virtual void on_ready(std::uint32_t events) noexcept = 0;

  protected:
    ~Watch() = default;
};

/// One epoll set.
class Loop {
  public:
    /// Throws std::system_error when the kernel has no epoll set to give.
    Loop();

    /// Adds a descriptor; false when the kernel refuses (ENOMEM, ENOSPC).
    [[nodiscard]] bool add(int fd, std::uint32_t events, Watch& watch) noexcept;
    /// Changes the events of a descriptor that is in the set.
    void modify(int fd, std::uint32_t events, Watch& watch) noexcept;
    void remove(int fd) noexcept;

    /// Waits until something is ready or `until` (TimePoint::max(): for ever; a time in the past:
    /// not at all), then calls each ready watch once. `now` is set to the time after the wait.
    void wait_and_dispatch(TimePoint until, TimePoint& now) noexcept;

  private:
    Fd epoll_;
};

} // namespace dotproxy
