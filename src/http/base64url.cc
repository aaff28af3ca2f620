// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/base64url.hh"

#include <array>
#include <cassert>

namespace dotproxy::http {

namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// More than six bits: whatever values are joined to it, this bit stays.
constexpr std::uint8_t none = 0x80;

constexpr std::array<std::uint8_t, 256> values = [] {
    std::array<std::uint8_t, 256> table{};
    table.fill(none);
    for (std::size_t i = 0; i < alphabet.size(); ++i) {
        table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
    }
    return table;
}();

std::uint32_t value_of(char character) noexcept {
    return values[static_cast<unsigned char>(character)];
}

} // namespace

std::optional<std::size_t> decode_base64url(std::string_view text,
                                            std::span<std::uint8_t> octets) noexcept {
    assert(octets.size() >= base64url_size(text.size()));
    if (text.size() % 4 == 1) {
        return std::nullopt;
    }
    std::uint32_t seen = 0; // of all values
    std::uint32_t bits = 0; // of which the last `count` are not written yet
    unsigned count = 0;
    std::size_t size = 0;
    for (const char character : text) {
        const std::uint32_t value = value_of(character);
        seen |= value;
        bits = bits << 6U | value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            octets[size++] = static_cast<std::uint8_t>(bits >> count);
        }
    }
    const std::uint32_t left_over = bits & ((1U << count) - 1U);
    if ((seen & none) != 0 || left_over != 0) {
        return std::nullopt;
    }
    return size;
}

} // namespace dotproxy::http
