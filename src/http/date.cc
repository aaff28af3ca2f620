// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/date.hh"

#include <algorithm>
#include <array>
#include <charconv>
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

/// Digits in a fixed place.
std::optional<unsigned> read_number(std::string_view text, std::size_t at, std::size_t size) {
    const char* const begin = text.data() + at;
    unsigned number = 0;
    const auto [end, error] = std::from_chars(begin, begin + size, number);
    return error == std::errc{} && end == begin + size ? std::optional{number} : std::nullopt;
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

std::optional<std::time_t> parse_date(std::string_view text) noexcept {
    using namespace std::chrono;
    constexpr std::string_view pattern = "Ddd, 00 Mmm 0000 00:00:00 GMT";
    if (text.size() != pattern.size() || text.substr(pattern.size() - 4) != " GMT") {
        return std::nullopt;
    }
    const auto month = std::ranges::find(http::months, text.substr(8, 3));
    const auto day_number = read_number(text, 5, 2);
    const auto year_number = read_number(text, 12, 4);
    const auto hour = read_number(text, 17, 2);
    const auto minute = read_number(text, 20, 2);
    const auto second = read_number(text, 23, 2);
    const bool formed = std::ranges::equal(text, pattern, [](char c, char of_pattern) {
        return std::string_view{", :"}.find(of_pattern) == std::string_view::npos ||
               c == of_pattern;
    });
    if (!formed || month == http::months.end() || !day_number || !year_number ||
        hour.value_or(24) > 23 || minute.value_or(60) > 59 || second.value_or(61) > 60) {
        return std::nullopt;
    }
    const year_month_day date{
        year{static_cast<int>(*year_number)},
        std::chrono::month{static_cast<unsigned>(month - http::months.begin()) + 1},
        day{*day_number}};
    if (!date.ok()) {
        return std::nullopt;
    }
    const sys_seconds time =
        sys_days{date} + hours{*hour} + minutes{*minute} + std::chrono::seconds{*second};
    return time.time_since_epoch().count();
}

} // namespace dotproxy::http
