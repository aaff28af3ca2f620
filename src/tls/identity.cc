// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Identity: reading names the administrator wrote. A mistyped address must not pass as a name, so
// what can be neither is refused here, before any connection is tried.

#include "tls/identity.hh"

#include <algorithm>
#include <arpa/inet.h>
#include <string_view>
#include <utility>

namespace dotproxy::tls {

namespace {

constexpr std::size_t name_max = 253; // RFC 1035: 255 octets on the wire
constexpr std::size_t label_max = 63;

// Bytes, not locale: certificates compare ASCII only (RFC 6125, section 6.4.1).
char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

bool is_label_char(char c) noexcept {
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

// Expects lower case without trailing dot. A name outside ASCII has to be given as A-labels (C63).
bool is_dns_name(std::string_view name) noexcept {
    if (name.empty() || name.size() > name_max) {
        return false;
    }
    for (;;) {
        const std::string_view label = name.substr(0, name.find('.'));
        if (label.empty() || label.size() > label_max ||
            !std::all_of(label.begin(), label.end(), is_label_char)) {
            return false;
        }
        if (label.size() == name.size()) {
            // No top-level domain is a number: this is an address with a slip in it.
            return !std::all_of(label.begin(), label.end(), is_digit);
        }
        name.remove_prefix(label.size() + 1);
    }
}

std::vector<std::uint8_t> read_ip(const std::string& literal) {
    std::array<std::uint8_t, 16> octets{};
    if (::inet_pton(AF_INET, literal.c_str(), octets.data()) == 1) {
        return {octets.begin(), octets.begin() + 4};
    }
    if (::inet_pton(AF_INET6, literal.c_str(), octets.data()) == 1) {
        return {octets.begin(), octets.end()};
    }
    return {};
}

} // namespace

std::optional<Identity> Identity::make(std::string name, std::vector<SpkiPin> pins) {
    if (name.empty() && pins.empty()) {
        return std::nullopt;
    }
    Identity identity;
    identity.pins_ = std::move(pins);
    if (name.empty()) {
        return identity;
    }
    // inet_pton() reads up to a NUL and would not see what stands behind it.
    if (name.find('\0') != std::string::npos) {
        return std::nullopt;
    }
    std::transform(name.begin(), name.end(), name.begin(), lower);
    identity.ip_ = read_ip(name);
    if (!identity.is_ip()) {
        if (name.back() == '.') {
            name.pop_back();
        }
        if (!is_dns_name(name)) {
            return std::nullopt;
        }
    }
    identity.name_ = std::move(name);
    return identity;
}

} // namespace dotproxy::tls
