// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// base64url without padding (RFC 4648, section 5), as RFC 8484 has it in the URL of a question.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace dotproxy::http {

/// How many octets a text of so many characters stands for, if it stands for any.
[[nodiscard]] constexpr std::size_t base64url_size(std::size_t characters) noexcept {
    return characters / 4 * 3 + characters % 4 * 3 / 4;
}

/// Writes what `text` stands for to the beginning of `octets`, which has room for
/// base64url_size() of it, and returns its size. nullopt: it is no base64url: another character
/// (padding and percent signs among them), a length that no octets have, or bits that are left over
/// and not zero, since one question has one URL (RFC 8484, section 6; RFC 4648, section 3.5).
[[nodiscard]] std::optional<std::size_t> decode_base64url(std::string_view text,
                                                          std::span<std::uint8_t> octets) noexcept;

} // namespace dotproxy::http
