// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/units.hh"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace dotproxy::units {

namespace {

struct Unit {
    std::string_view name;
    std::int64_t factor;
};

constexpr std::array<Unit, 5> durations{{
    {"d", std::int64_t{24} * 60 * 60 * 1000},
    {"h", std::int64_t{60} * 60 * 1000},
    {"m", std::int64_t{60} * 1000},
    {"s", 1000},
    {"ms", 1},
}};

constexpr std::array<Unit, 5> sizes{{
    {"", 1},
    {"k", 1 << 10},
    {"K", 1 << 10},
    {"M", 1 << 20},
    {"G", 1 << 30},
}};

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

template <std::size_t Count>
std::optional<std::int64_t> parse(std::string_view text,
                                  const std::array<Unit, Count>& units) noexcept {
    std::int64_t number = 0;
    const char* const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, number);
    if (error == std::errc::invalid_argument || number < 0 || text.front() == '-') {
        return std::nullopt;
    }
    const std::string_view rest{end, static_cast<std::size_t>(last - end)};
    const auto unit = std::ranges::find(units, rest, &Unit::name);
    if (unit == units.end()) {
        return std::nullopt;
    }
    if (error == std::errc::result_out_of_range || number > most / unit->factor) {
        return most;
    }
    return number * unit->factor;
}

} // namespace

std::optional<Milliseconds> parse_duration(std::string_view text) noexcept {
    const auto number = parse(text, durations);
    return number ? std::optional{Milliseconds{*number}} : std::nullopt;
}

std::optional<std::uint64_t> parse_size(std::string_view text) noexcept {
    const auto number = parse(text, sizes);
    return number ? std::optional{static_cast<std::uint64_t>(*number)} : std::nullopt;
}

std::string duration_text(Milliseconds duration) {
    if (duration == Milliseconds::zero()) {
        return "0s";
    }
    const auto unit = std::ranges::find_if(
        durations, [&](const Unit& u) { return duration.count() % u.factor == 0; });
    return std::to_string(duration.count() / unit->factor).append(unit->name);
}

} // namespace dotproxy::units
