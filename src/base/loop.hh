// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Loop: a thin owner of one level-triggered epoll set. The order of a turn is its user's.

#pragma once

#include "base/clock.hh"
#include "base/fd.hh"

#include <cstdint>
#include <sys/epoll.h>
#include <utility>
#include <vector>

namespace dotproxy {

/// What wants to know when a descriptor is ready. Must outlive its place in the loop, no more.
class Watch {
  public:
    /// `events`: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR ... as epoll gave them.
    virtual void on_ready(std::uint32_t events) noexcept = 0;

  protected:
    ~Watch() = default;
};

class Loop;

/// A descriptor's place in a loop, which it leaves when this ends: before it is closed. Closing
/// alone does not take it out while another process has the same socket open, as at a hand-over,
/// and epoll would go on reporting it (epoll(7), under "Questions and answers").
class Watching {
  public:
    /// No place.
    Watching() noexcept = default;

    Watching(Watching&& other) noexcept { *this = std::move(other); }

    Watching& operator=(Watching&& other) noexcept {
        end();
        loop_ = std::exchange(other.loop_, nullptr);
        fd_ = other.fd_;
        return *this;
    }

    ~Watching() { end(); }

    explicit operator bool() const noexcept { return loop_ != nullptr; }

    /// Waits for other events from now on. Only where there is a place.
    void modify(std::uint32_t events) noexcept;
    /// Gives the place up: the watch hears nothing more, not even what was reported already.
    void end() noexcept;

  private:
    friend class Loop;

    Watching(Loop& loop, int fd) noexcept : loop_{&loop}, fd_{fd} {}

    Loop* loop_{nullptr};
    int fd_{-1};
};

/// One epoll set. It outlives all places in it.
class Loop {
  public:
    /// Throws std::system_error when the kernel has no epoll set to give.
    Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    /// Adds a descriptor that has no place yet. No place: there is no memory, here or in the kernel
    /// (ENOMEM, ENOSPC).
    [[nodiscard]] Watching add(int fd, std::uint32_t events, Watch& watch) noexcept;

    /// Waits until something is ready or `until` (TimePoint::max(): for ever; a time in the past:
    /// not at all), then calls each ready watch once. `now` is set to the time after the wait.
    void wait_and_dispatch(TimePoint until, TimePoint& now) noexcept;

  private:
    friend class Watching;

    /// Who watches a descriptor. Events carry its number and the generation, so that one that was
    /// reported before the place was given up, or given to somebody else, meets nobody.
    struct Seat {
        Watch* watch{nullptr};
        std::uint32_t generation{0};
    };

    [[nodiscard]] bool control(int operation, int fd, std::uint32_t events) noexcept;

    Fd epoll_;
    std::vector<Seat> seats_; // by the number of the descriptor
};

} // namespace dotproxy
