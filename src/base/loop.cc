// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/loop.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <system_error>

namespace dotproxy {

namespace {

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

bool Loop::add(int fd, std::uint32_t events, Watch& watch) noexcept {
    epoll_event event{.events = events, .data = {.ptr = &watch}};
    return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void Loop::modify(int fd, std::uint32_t events, Watch& watch) noexcept {
    epoll_event event{.events = events, .data = {.ptr = &watch}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Loop::remove(int fd) noexcept {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void Loop::wait_and_dispatch(TimePoint until, TimePoint& now) noexcept {
    std::array<epoll_event, 64>
        ready; // NOLINT(cppcoreguidelines-pro-type-member-init): filled below
    const int count = ::epoll_wait(epoll_.get(), ready.data(), ready.size(), timeout_until(until));
    now = Clock::now();
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = ready[static_cast<std::size_t>(i)];
        static_cast<Watch*>(event.data.ptr)->on_ready(event.events);
    }
}

} // namespace dotproxy
