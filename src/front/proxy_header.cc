// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/proxy_header.hh"

#include "base/number.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

namespace dotproxy {

namespace {

using State = ProxyHeader::State;

constexpr std::string_view v1_begins = "PROXY ";
constexpr std::string_view v1_ends = "\r\n";
constexpr std::array<std::uint8_t, 12> v2_begins{0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                                 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/// Octets before the addresses of version 2.
constexpr std::size_t v2_head = 16;

// The upper half of the octet behind the signature is the version, the lower one the command.
constexpr unsigned version_2 = 0x20;
constexpr unsigned command_local = 0;
constexpr unsigned command_proxy = 1;

// The upper half of the next one; 0 is unspecified.
constexpr unsigned family_v4 = 1;
constexpr unsigned family_v6 = 2;
constexpr unsigned last_family = 3; // of Unix sockets

// The lower half: unspecified, a stream or datagrams.
constexpr unsigned last_transport = 2;

// Octets of both addresses and ports.
constexpr std::size_t v4_size = 12;
constexpr std::size_t v6_size = 36;

/// Whether `octets` begin like `whole`, as far as there are any.
template <class Whole>
bool may_begin_with(dns::Octets octets, const Whole& whole) noexcept {
    const std::size_t size = std::min(octets.size(), std::size(whole));
    return std::equal(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(size),
                      std::begin(whole),
                      [](std::uint8_t a, auto b) { return a == static_cast<std::uint8_t>(b); });
}

std::string_view next_word(std::string_view& rest) noexcept {
    const auto end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return word;
}

/// "TCP4 192.0.2.1 198.51.100.1 49152 853", or "UNKNOWN" and whatever follows.
ProxyHeader parse_v1_line(std::string_view line, std::size_t size) noexcept {
    const bool ends_blank = line.ends_with(' ');
    const std::string_view family = next_word(line);
    if (family == "UNKNOWN") {
        return {.state = State::complete, .size = size};
    }
    const std::string source{next_word(line)};
    const std::string destination{next_word(line)};
    const auto source_port = parse_number<std::uint16_t>(next_word(line));
    const auto destination_port = parse_number<std::uint16_t>(next_word(line));
    const bool v6 = family == "TCP6";
    if ((!v6 && family != "TCP4") || !source_port || !destination_port || !line.empty() ||
        ends_blank || source.find('%') != std::string::npos) {
        return {.state = State::invalid};
    }
    const auto client = Address::parse(source, *source_port);
    const auto server = Address::parse(destination, *destination_port);
    if (!client || !server || client->is_v6() != v6 || server->is_v6() != v6) {
        return {.state = State::invalid};
    }
    return {.state = State::complete, .size = size, .client = client};
}

ProxyHeader parse_v1(dns::Octets octets) noexcept {
    const std::string_view text{reinterpret_cast<const char*>(octets.data()),
                                std::min(octets.size(), most_proxy_header_v1)};
    const auto end = text.find(v1_ends);
    if (end == std::string_view::npos) {
        return {.state = octets.size() < most_proxy_header_v1 ? State::partial : State::invalid};
    }
    return parse_v1_line(text.substr(v1_begins.size(), end - v1_begins.size()),
                         end + v1_ends.size());
}

Address address_v4(dns::Octets addresses) noexcept {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    std::memcpy(&name.sin_addr, addresses.data(), sizeof name.sin_addr);
    std::memcpy(&name.sin_port, &addresses[2 * sizeof name.sin_addr], sizeof name.sin_port);
    return Address{name};
}

Address address_v6(dns::Octets addresses) noexcept {
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    std::memcpy(&name.sin6_addr, addresses.data(), sizeof name.sin6_addr);
    std::memcpy(&name.sin6_port, &addresses[2 * sizeof name.sin6_addr], sizeof name.sin6_port);
    return Address{name};
}

ProxyHeader parse_v2(dns::Octets octets) noexcept {
    if (octets.size() < v2_head) {
        return {.state = State::partial};
    }
    const unsigned version = octets[v2_begins.size()] & 0xf0U;
    const unsigned command = octets[v2_begins.size()] & 0x0fU;
    const unsigned family = octets[v2_begins.size() + 1] >> 4U;
    const unsigned transport = octets[v2_begins.size() + 1] & 0x0fU;
    const std::size_t length = dns::load16(octets, v2_head - 2);
    const std::size_t size = v2_head + length;
    const bool local = command == command_local; // whose addresses mean nothing
    if (version != version_2 || command > command_proxy || size > most_proxy_header ||
        (!local && (family > last_family || transport > last_transport))) {
        return {.state = State::invalid};
    }
    if (octets.size() < size) {
        return {.state = State::partial};
    }
    ProxyHeader header{.state = State::complete, .size = size, .local = local};
    const dns::Octets addresses = octets.subspan(v2_head, length);
    if (local || (family != family_v4 && family != family_v6)) {
        return header;
    }
    if (length < (family == family_v4 ? v4_size : v6_size)) {
        return {.state = State::invalid};
    }
    header.client = family == family_v4 ? address_v4(addresses) : address_v6(addresses);
    return header;
}

} // namespace

ProxyHeader parse_proxy_header(dns::Octets octets) noexcept {
    if (may_begin_with(octets, v2_begins)) {
        return parse_v2(octets);
    }
    if (may_begin_with(octets, v1_begins)) {
        if (octets.size() < v1_begins.size()) {
            return {.state = State::partial};
        }
        return parse_v1(octets);
    }
    return {.state = State::invalid};
}

ProxyHeader parse_proxy_datagram(dns::Octets octets) noexcept {
    if (!may_begin_with(octets, v2_begins)) {
        return {.state = State::invalid};
    }
    const ProxyHeader header = parse_v2(octets);
    if (header.state == State::partial) {
        return {.state = State::invalid};
    }
    return header;
}

} // namespace dotproxy
