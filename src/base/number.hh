// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Numbers in texts that programs write: a kernel's tables, an environment, a request.

#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace dotproxy {

/// The number that all of `text` is; nullopt where it is none, or does not fit `Number`.
template <class Number>
[[nodiscard]] std::optional<Number> parse_number(std::string_view text, int base = 10) noexcept {
    Number value{};
    const char* const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, value, base);
    return error == std::errc{} && end == last ? std::optional{value} : std::nullopt;
}

} // namespace dotproxy
