// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Record types as people write them (RFC 3597), and octets as the control socket takes them.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dotproxy::ctl {

/// The number of a type, from "AAAA", "aaaa" or "TYPE28". nullopt when it is none, or 0.
[[nodiscard]] std::optional<std::uint16_t> parse_type(std::string_view text);

/// Octets in hexadecimal digits.
[[nodiscard]] std::string hex(std::span<const std::uint8_t> octets);

} // namespace dotproxy::ctl
