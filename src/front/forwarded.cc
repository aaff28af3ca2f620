// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/forwarded.hh"

#include "http/ascii.hh"

#include <algorithm>
#include <string>

namespace dotproxy {

namespace {

/// The address in "192.0.2.1", "192.0.2.1:49152", "2001:db8::1" or "[2001:db8::1]:49152". Of one
/// with a zone nobody else could make anything.
std::optional<Address> parse_hop(std::string_view text) noexcept {
    constexpr std::size_t most = 64; // more than any of these
    if (text.size() > most || text.find('%') != std::string_view::npos) {
        return std::nullopt;
    }
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        const auto rest = text.substr(std::min(end, text.size()));
        if (rest.empty() || (rest.size() > 1 && rest[1] != ':')) {
            return std::nullopt;
        }
        text = text.substr(1, end - 1);
    } else if (std::ranges::count(text, ':') == 1) {
        text = text.substr(0, text.find(':'));
    }
    return Address::parse(std::string{text}, 0);
}

} // namespace

std::optional<Address> forwarded_client(std::string_view list, const ListenConfig& here) noexcept {
    std::optional<Address> client;
    while (!list.empty()) {
        const auto comma = list.rfind(',');
        const bool first = comma == std::string_view::npos;
        client = parse_hop(http::trimmed(first ? list : list.substr(comma + 1)));
        list = first ? std::string_view{} : list.substr(0, comma);
        if (!client || !here.trusts(*client)) {
            return client;
        }
    }
    return client;
}

} // namespace dotproxy
