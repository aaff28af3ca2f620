// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The letters of protocols, which are the same in every locale.

#pragma once

#include <algorithm>
#include <string_view>

namespace dotproxy::http {

[[nodiscard]] constexpr char to_lower(char character) noexcept {
    return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a')
                                                : character;
}

/// Whether `text` is `lower`, which is in small letters, but for the size of letters.
[[nodiscard]] constexpr bool same_letters(std::string_view text, std::string_view lower) noexcept {
    return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                      [](char a, char b) { return to_lower(a) == b; });
}

/// Without blanks and tabs at either end (OWS of RFC 9110, section 5.6.3).
[[nodiscard]] constexpr std::string_view trimmed(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Takes what comes before the next `separator`, or else all, out of `rest`.
constexpr std::string_view take_until(char separator, std::string_view& rest) noexcept {
    const auto end = rest.find(separator);
    const std::string_view part = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    return part;
}

} // namespace dotproxy::http
