// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/loop.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <new>
#include <system_error>

namespace dotproxy {

namespace {

// In one turn; of more that are ready, the kernel tells in the next one.
constexpr std::size_t most_events = 256;

int timeout_until(TimePoint until) noexcept {
    if (until == TimePoint::max()) {
        return -1;
    }
    if (until <= Clock::now()) {
        return 0; // also where the difference would not fit
    }
    // Rounded up: a turn that starts before its deadline would find nothing due and spin.
    const auto left = std::chrono::ceil<Milliseconds>(until - Clock::now()).count();
    return static_cast<int>(std::clamp<decltype(left)>(left, 0, std::numeric_limits<int>::max()));
}

} // namespace

Loop::Loop() : epoll_{::epoll_create1(EPOLL_CLOEXEC)} {
    if (!epoll_) {
        throw std::system_error{errno, std::generic_category(), "epoll_create1"};
    }
}

bool Loop::control(int operation, int fd, std::uint32_t events) noexcept {
    const std::uint64_t generation = seats_[static_cast<std::size_t>(fd)].generation;
    epoll_event event{.events = events,
                      .data = {.u64 = generation << 32U | static_cast<std::uint32_t>(fd)}};
    return ::epoll_ctl(epoll_.get(), operation, fd, &event) == 0;
}

Watching Loop::add(int fd, std::uint32_t events, Watch& watch) noexcept {
    const auto number = static_cast<std::size_t>(fd);
    if (fd < 0) {
        return {};
    }
    try {
        seats_.resize(std::max(seats_.size(), number + 1));
    } catch (const std::bad_alloc&) {
        return {};
    }
    Seat& seat = seats_[number];
    ++seat.generation;
    if (!control(EPOLL_CTL_ADD, fd, events)) {
        return {};
    }
    seat.watch = &watch;
    return {*this, fd};
}

void Watching::modify(std::uint32_t events) noexcept {
    static_cast<void>(loop_->control(EPOLL_CTL_MOD, fd_, events));
}

void Watching::end() noexcept {
    if (Loop* loop = std::exchange(loop_, nullptr)) {
        static_cast<void>(loop->control(EPOLL_CTL_DEL, fd_, 0));
        loop->seats_[static_cast<std::size_t>(fd_)].watch = nullptr;
    }
}

void Loop::wait_and_dispatch(TimePoint until, TimePoint& now) noexcept {
    std::array<epoll_event, most_events>
        ready; // NOLINT(cppcoreguidelines-pro-type-member-init): filled below
    const int count = ::epoll_wait(epoll_.get(), ready.data(), ready.size(), timeout_until(until));
    now = Clock::now();
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = ready[static_cast<std::size_t>(i)];
        // A copy: who is called may add descriptors.
        const Seat seat = seats_[static_cast<std::uint32_t>(event.data.u64)];
        if (seat.watch != nullptr && seat.generation == event.data.u64 >> 32U) {
            seat.watch->on_ready(event.events);
        }
    }
}

} // namespace dotproxy
