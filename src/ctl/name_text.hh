// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Domain names and record types as people write them (RFC 1035, section 5.1; RFC 3597).

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy::ctl {

/// A name on the wire, in lower case, from "Example.org", "example.org." or ".", with \X and \DDD
/// for octets that have a meaning of their own. nullopt when it is none: an empty label, one of
/// more than 63 octets, more than 255 in all, or an escape that is none.
[[nodiscard]] std::optional<std::vector<std::uint8_t>> parse_name(std::string_view text);

/// The number of a type, from "AAAA", "aaaa" or "TYPE28". nullopt when it is none, or 0.
[[nodiscard]] std::optional<std::uint16_t> parse_type(std::string_view text);

/// Octets in hexadecimal digits.
[[nodiscard]] std::string hex(const std::vector<std::uint8_t>& octets);

} // namespace dotproxy::ctl
