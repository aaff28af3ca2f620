// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Numbers with a unit, as people write them: "200ms", "64M".

#pragma once

#include "base/clock.hh"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dotproxy::units {

/// Reads a duration: a number, which may have decimals, and ms, s, m, h or d, without a blank
/// between. What is beyond the range of the type becomes its maximum. nullopt when it is no
/// duration, or not a whole number of milliseconds.
[[nodiscard]] std::optional<Milliseconds> parse_duration(std::string_view text) noexcept;

/// Reads a size in octets: a whole number, alone or with k (or K), M or G, which are powers of
/// 1024. What is beyond the range of the type becomes its maximum. nullopt when it is no size.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text) noexcept;

/// The duration in the largest unit that leaves a whole number: "90s", "2m".
[[nodiscard]] std::string duration_text(Milliseconds duration);

/// The size in the largest unit that leaves a whole number: "64M".
[[nodiscard]] std::string size_text(std::uint64_t size);

} // namespace dotproxy::units
