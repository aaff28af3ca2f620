// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/date.hh"

#include <array>
#include <chrono>

namespace dotproxy::http {

namespace {

// Names are those of HTTP, whatever the locale.
constexpr std::array<std::string_view, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

constexpr std::time_t end_of_9999 = 253'402'300'800;

/// Two digits.
void write_number(char* text, unsigned number) noexcept {
    text[0] = static_cast<char>('0' + number / 10 % 10);
    text[1] = static_cast<char>('0' + number % 10);
}

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
        const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
        char* text = text_.data();
        http::days[weekday{midnight}.c_encoding()].copy(text, 3);
        write_number(text + 5, static_cast<unsigned>(date.day()));
        http::months[static_cast<unsigned>(date.month()) - 1].copy(text + 8, 3);
        write_number(text + 12, year / 100);
        write_number(text + 14, year % 100);
        write_number(text + 17, static_cast<unsigned>(clock.hours().count()));
        write_number(text + 20, static_cast<unsigned>(clock.minutes().count()));
        write_number(text + 23, static_cast<unsigned>(clock.seconds().count()));
    }
    return {text_.data(), length};
}

} // namespace dotproxy::http
