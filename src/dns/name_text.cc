// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/name_text.hh"

#include <charconv>

namespace dotproxy::dns {

namespace {

constexpr std::size_t max_label_size = 63;

std::uint8_t lower(char c) noexcept {
    return static_cast<std::uint8_t>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

/// What a backslash stands for together with what follows it; both are taken off `text`.
std::optional<std::uint8_t> take_escape(std::string_view& text) noexcept {
    text.remove_prefix(1);
    if (text.empty()) {
        return std::nullopt;
    }
    if (!is_digit(text.front())) {
        const std::uint8_t octet = lower(text.front());
        text.remove_prefix(1);
        return octet;
    }
    const std::string_view digits = text.substr(0, 3);
    unsigned number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (digits.size() != 3 || error != std::errc{} || end != digits.data() + 3 || number > 255) {
        return std::nullopt;
    }
    text.remove_prefix(3);
    return lower(static_cast<char>(number));
}

void append(std::uint8_t octet, std::string& text) {
    constexpr std::uint8_t space = 0x20;
    constexpr std::uint8_t last = 0x7e; // of what is printed
    if (octet <= space || octet > last) {
        text += '\\';
        text += static_cast<char>('0' + octet / 100);
        text += static_cast<char>('0' + octet / 10 % 10);
        text += static_cast<char>('0' + octet % 10);
        return;
    }
    if (octet == '.' || octet == '\\') {
        text += '\\';
    }
    text += static_cast<char>(octet);
}

} // namespace

// NOLINTBEGIN(cppcoreguidelines-pro-type-member-init): only what is written is looked at
std::optional<Name> parse_name(std::string_view text) noexcept {
    Name name;
    name.octets[0] = 0;
    if (text == ".") {
        name.size = 1;
        return name;
    }
    std::size_t size = 1;
    std::size_t length_at = 0; // of the label now being read
    while (!text.empty()) {
        if (size == max_name_size) {
            return std::nullopt;
        }
        if (text.front() == '.') {
            if (name.octets[length_at] == 0) {
                return std::nullopt;
            }
            length_at = size;
            name.octets[size++] = 0;
            text.remove_prefix(1);
            continue;
        }
        std::optional<std::uint8_t> octet;
        if (text.front() == '\\') {
            octet = take_escape(text);
        } else {
            octet = lower(text.front());
            text.remove_prefix(1);
        }
        if (!octet || name.octets[length_at] == max_label_size) {
            return std::nullopt;
        }
        ++name.octets[length_at];
        name.octets[size++] = *octet;
    }
    if (name.octets[length_at] != 0) {
        if (size == max_name_size) {
            return std::nullopt;
        }
        name.octets[size++] = 0;
    }
    if (size == 1) {
        return std::nullopt; // a lone root label comes of an empty text
    }
    name.size = static_cast<std::uint8_t>(size);
    return name;
}

// NOLINTEND(cppcoreguidelines-pro-type-member-init)

std::string name_text(Octets name) {
    std::string text;
    for (std::size_t at = 0; name[at] != 0; at += name[at] + 1U) {
        for (const std::uint8_t octet : name.subspan(at + 1, name[at])) {
            append(octet, text);
        }
        text += '.';
    }
    if (text.empty()) {
        return ".";
    }
    text.pop_back();
    return text;
}

} // namespace dotproxy::dns
