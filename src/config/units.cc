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

// So many digits times the longest unit still fit the type.
constexpr std::size_t most_decimals = 9;

std::string_view take_digits(std::string_view& text) noexcept {
    const std::string_view taken =
        text.substr(0, std::min(text.find_first_not_of("0123456789"), text.size()));
    text.remove_prefix(taken.size());
    return taken;
}

template <std::size_t Count>
std::int64_t factor_of(std::string_view unit, const std::array<Unit, Count>& units) noexcept {
    const auto found = std::ranges::find(units, unit, &Unit::name);
    return found == units.end() ? 0 : found->factor;
}

std::int64_t times(std::string_view digits, std::int64_t factor) noexcept {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error == std::errc::result_out_of_range || number > most / factor) {
        return most;
    }
    return number * factor;
}

} // namespace

std::optional<Milliseconds> parse_duration(std::string_view text) noexcept {
    const std::string_view whole = take_digits(text);
    std::string_view fraction;
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        fraction = take_digits(text);
        if (fraction.empty() || fraction.size() > most_decimals) {
            return std::nullopt;
        }
    }
    const std::int64_t factor = factor_of(text, durations);
    std::int64_t scale = 1;
    for (std::size_t i = 0; i < fraction.size(); ++i) {
        scale *= 10;
    }
    const std::int64_t part = factor == 0 ? 0 : times(fraction, factor);
    if (whole.empty() || factor == 0 || part % scale != 0) {
        return std::nullopt;
    }
    const std::int64_t number = times(whole, factor);
    return Milliseconds{number > most - part / scale ? most : number + part / scale};
}

std::optional<std::uint64_t> parse_size(std::string_view text) noexcept {
    const std::string_view whole = take_digits(text);
    const std::int64_t factor = factor_of(text, sizes);
    if (whole.empty() || factor == 0) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(times(whole, factor));
}

std::string duration_text(Milliseconds duration) {
    if (duration == Milliseconds::zero()) {
        return "0s";
    }
    const auto unit = std::ranges::find_if(
        durations, [&](const Unit& u) { return duration.count() % u.factor == 0; });
    return std::to_string(duration.count() / unit->factor).append(unit->name);
}

std::string size_text(std::uint64_t size) {
    const auto unit = std::find_if(sizes.rbegin(), sizes.rend(), [size](const Unit& u) {
        return size != 0 && size % static_cast<std::uint64_t>(u.factor) == 0;
    });
    const Unit& used = unit == sizes.rend() ? sizes.front() : *unit;
    return std::to_string(size / static_cast<std::uint64_t>(used.factor)).append(used.name);
}

} // namespace dotproxy::units
