// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Stands before the C library's function of the same name, which std::chrono calls.

#include "worker/clock.hh"

#include <algorithm>
#include <ctime>
#include <sys/syscall.h>
#include <unistd.h>

namespace dotproxy::test {

namespace {

using namespace std::chrono_literals;

TimePoint& clock_now() noexcept {
    static TimePoint now{24h};
    return now;
}

} // namespace

void set_clock(TimePoint when) noexcept {
    clock_now() = std::max(clock_now(), when);
}

} // namespace dotproxy::test

extern "C" int clock_gettime(clockid_t id, timespec* time) noexcept {
    if (id != CLOCK_MONOTONIC && id != CLOCK_BOOTTIME) {
        return static_cast<int>(::syscall(SYS_clock_gettime, id, time));
    }
    const auto since = dotproxy::test::clock_now().time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    time->tv_sec = seconds.count();
    time->tv_nsec = (since - seconds).count();
    return 0;
}
