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
    std::uint32_t seen = 0; // all values, one over the other
    std::size_t size = 0;
    while (text.size() >= 4) {
        const std::uint32_t first = value_of(text[0]);
        const std::uint32_t second = value_of(text[1]);
        const std::uint32_t third = value_of(text[2]);
        const std::uint32_t fourth = value_of(text[3]);
        seen |= first | second | third | fourth;
        octets[size] = static_cast<std::uint8_t>(first << 2U | second >> 4U);
        octets[size + 1] = static_cast<std::uint8_t>(second << 4U | third >> 2U);
        octets[size + 2] = static_cast<std::uint8_t>(third << 6U | fourth);
        size += 3;
        text.remove_prefix(4);
    }
    std::uint32_t left_over = 0; // bits that no octet has
    if (text.size() >= 2) {
        const std::uint32_t first = value_of(text[0]);
        const std::uint32_t second = value_of(text[1]);
        seen |= first | second;
        octets[size++] = static_cast<std::uint8_t>(first << 2U | second >> 4U);
        left_over = second & 0xfU;
        if (text.size() == 3) {
            const std::uint32_t third = value_of(text[2]);
            seen |= third;
            octets[size++] = static_cast<std::uint8_t>(second << 4U | third >> 2U);
            left_over = third & 3U;
        }
    }
    if ((seen & none) != 0 || left_over != 0) {
        return std::nullopt;
    }
    return size;
}

} // namespace dotproxy::http
