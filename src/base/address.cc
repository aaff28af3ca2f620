// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Address literals are read and written here, without the resolver: getaddrinfo() would take
// "1" for 0.0.0.1 and may ask the network.

#include "base/address.hh"

#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstring>
#include <net/if.h>

namespace dotproxy {

namespace {

/// The index of an interface that is given by name or by number; 0 when there is none.
std::uint32_t zone_index(const std::string& zone) noexcept {
    std::uint32_t index = ::if_nametoindex(zone.c_str());
    if (index == 0) {
        const auto [end, error] = std::from_chars(zone.data(), zone.data() + zone.size(), index);
        if (error != std::errc{} || end != zone.data() + zone.size()) {
            return 0;
        }
    }
    return index;
}

std::string zone_name(std::uint32_t index) {
    std::array<char, IF_NAMESIZE> name{};
    return ::if_indextoname(index, name.data()) != nullptr ? std::string{name.data()}
                                                           : std::to_string(index);
}

} // namespace

Address::Address() noexcept : v6_{} {
    v4_.sin_family = AF_INET;
}

Address::Address(const sockaddr_in& v4) noexcept : v6_{} {
    v4_ = v4;
}

Address::Address(const sockaddr_in6& v6) noexcept : v6_{v6} {}

std::optional<Address> Address::parse(const std::string& literal, std::uint16_t port) noexcept {
    // An octet 0 inside would hide what follows it from inet_pton().
    if (literal.find('\0') != std::string::npos) {
        return std::nullopt;
    }
    sockaddr_in v4{};
    if (::inet_pton(AF_INET, literal.c_str(), &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        return Address{v4};
    }
    const std::size_t percent = literal.find('%');
    sockaddr_in6 v6{};
    if (::inet_pton(AF_INET6, literal.substr(0, percent).c_str(), &v6.sin6_addr) != 1) {
        return std::nullopt;
    }
    if (percent != std::string::npos) {
        v6.sin6_scope_id = zone_index(literal.substr(percent + 1));
        if (v6.sin6_scope_id == 0) {
            return std::nullopt;
        }
    }
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return Address{v6};
}

std::optional<Address> Address::from(const sockaddr_storage& storage) noexcept {
    if (storage.ss_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &storage, sizeof(v4));
        return Address{v4};
    }
    if (storage.ss_family == AF_INET6) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, &storage, sizeof(v6));
        return Address{v6};
    }
    return std::nullopt;
}

std::uint16_t Address::port() const noexcept {
    return ntohs(is_v6() ? v6_.sin6_port : v4_.sin_port);
}

std::span<const std::uint8_t> Address::host_octets() const noexcept {
    if (is_v6()) {
        return {&v6_.sin6_addr.s6_addr[0], sizeof v6_.sin6_addr};
    }
    return {reinterpret_cast<const std::uint8_t*>(&v4_.sin_addr), sizeof v4_.sin_addr};
}

bool Address::is_wildcard() const noexcept {
    return is_v6() ? IN6_IS_ADDR_UNSPECIFIED(&v6_.sin6_addr) : v4_.sin_addr.s_addr == INADDR_ANY;
}

bool Address::is_loopback() const noexcept {
    constexpr std::uint8_t loopback_net = 127;
    constexpr std::size_t v4_within_mapped = 12;
    if (!is_v6()) {
        return ntohl(v4_.sin_addr.s_addr) >> 24 == loopback_net;
    }
    return IN6_IS_ADDR_LOOPBACK(&v6_.sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&v6_.sin6_addr) &&
            v6_.sin6_addr.s6_addr[v4_within_mapped] == loopback_net);
}

bool Address::covers(const Address& other) const noexcept {
    return *this == other ||
           (is_wildcard() && family() == other.family() && port() == other.port());
}

std::string Address::host() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (!is_v6()) {
        return ::inet_ntop(AF_INET, &v4_.sin_addr, text.data(), text.size());
    }
    std::string host = ::inet_ntop(AF_INET6, &v6_.sin6_addr, text.data(), text.size());
    if (v6_.sin6_scope_id != 0) {
        host += '%' + zone_name(v6_.sin6_scope_id);
    }
    return host;
}

std::string Address::text() const {
    const std::string port_text = ':' + std::to_string(port());
    return is_v6() ? '[' + host() + ']' + port_text : host() + port_text;
}

// The parts that name an endpoint: flow labels and padding differ between equal addresses.
bool operator==(const Address& a, const Address& b) noexcept {
    if (a.family() != b.family() || a.port() != b.port()) {
        return false;
    }
    if (a.is_v6()) {
        return a.v6_.sin6_scope_id == b.v6_.sin6_scope_id &&
               IN6_ARE_ADDR_EQUAL(&a.v6_.sin6_addr, &b.v6_.sin6_addr);
    }
    return a.v4_.sin_addr.s_addr == b.v4_.sin_addr.s_addr;
}

} // namespace dotproxy
