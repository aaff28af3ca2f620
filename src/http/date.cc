// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/date.hh"

#include <chrono>
#include <cstdio>

namespace dotproxy::http {

namespace {

// Names are those of HTTP, whatever the locale.
constexpr std::array<const char*, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<const char*, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

constexpr std::time_t end_of_9999 = 253'402'300'800;

} // namespace

std::string_view Date::at(std::time_t now) noexcept {
    if (now < 0 || now >= end_of_9999) {
        now = 0;
    }
    if (now != written_) {
        written_ = now;
        using namespace std::chrono;
        const sys_seconds time{seconds{now}};
        const sys_days midnight = floor<std::chrono::days>(time);
        const year_month_day date{midnight};
        const hh_mm_ss clock{time - midnight};
        static_cast<void>(std::snprintf(
            text_.data(), text_.size(), "%s, %02u %s %04d %02d:%02d:%02d GMT",
            http::days[weekday{midnight}.c_encoding()], static_cast<unsigned>(date.day()),
            http::months[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
            static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
            static_cast<int>(clock.seconds().count())));
    }
    return {text_.data(), length};
}

} // namespace dotproxy::http
