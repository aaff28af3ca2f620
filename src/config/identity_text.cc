// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/identity_text.hh"

#include <algorithm>

namespace dotproxy {

namespace {

constexpr std::size_t max_name_text = 253; // RFC 1035, section 2.3.4, without the trailing dot
constexpr std::size_t max_label = 63;

// The character classes of <cctype> depend on the locale; host names do not.
bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

bool is_letter(char c) noexcept {
    return c >= 'a' && c <= 'z';
}

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// RFC 1123, section 2.1, in lower case.
bool is_label(std::string_view label) noexcept {
    return !label.empty() && label.size() <= max_label && label.front() != '-' &&
           label.back() != '-' && std::ranges::all_of(label, [](char c) {
               return is_letter(c) || is_digit(c) || c == '-';
           });
}

bool is_host_name(std::string_view name) noexcept {
    if (name.size() > max_name_text) {
        return false;
    }
    std::string_view last;
    for (std::size_t at = 0; at <= name.size();) {
        const std::size_t dot = std::min(name.find('.', at), name.size());
        last = name.substr(at, dot - at);
        if (!is_label(last)) {
            return false;
        }
        at = dot + 1;
    }
    // No top-level domain is a number, so this is an IPv4 address that went wrong.
    return !std::ranges::all_of(last, is_digit);
}

/// The six bits that a base64 digit stands for; 64 for anything else.
unsigned sextet(char c) noexcept {
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return static_cast<unsigned>(std::min(alphabet.find(c), alphabet.size()));
}

} // namespace

std::optional<std::string> parse_server_name(std::string_view text) {
    if (text.find('%') == std::string_view::npos) {
        if (const auto address = Address::parse(std::string{text}, 0)) {
            return address->host();
        }
    }
    if (text.ends_with('.')) {
        text.remove_suffix(1);
    }
    std::string name{text};
    std::ranges::transform(name, name.begin(), lower);
    return is_host_name(name) ? std::optional{name} : std::nullopt;
}

std::optional<SpkiPin> parse_pin(std::string_view text) noexcept {
    constexpr std::size_t digits = 43; // 32 octets are 42 digits and two thirds; one '=' fills up
    if (text.size() != digits + 1 || text.back() != '=') {
        return std::nullopt;
    }
    SpkiPin pin{};
    std::size_t size = 0;
    unsigned bits = 0;
    unsigned held = 0; // how many of the low bits of `bits` are not yet taken
    for (const char c : text.substr(0, digits)) {
        const unsigned value = sextet(c);
        if (value > 63) {
            return std::nullopt;
        }
        bits = bits << 6U | value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            pin.at(size++) = static_cast<std::uint8_t>(bits >> held & 0xffU);
            bits &= (1U << held) - 1U;
        }
    }
    // Bits left over are zero in what a base64 encoder writes; others are a typing error.
    return bits == 0 ? std::optional{pin} : std::nullopt;
}

} // namespace dotproxy
