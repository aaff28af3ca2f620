// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/prefix.hh"

#include "base/number.hh"

#include <cstring>
#include <endian.h>

namespace dotproxy {

namespace {

Address address_of(const AddressBits& bits, bool v4) noexcept {
    if (v4) {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htobe32(static_cast<std::uint32_t>(bits.low));
        return Address{name};
    }
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    const std::uint64_t high = htobe64(bits.high);
    const std::uint64_t low = htobe64(bits.low);
    std::memcpy(&name.sin6_addr.s6_addr[0], &high, sizeof high);
    std::memcpy(&name.sin6_addr.s6_addr[sizeof high], &low, sizeof low);
    return Address{name};
}

} // namespace

std::optional<Prefix> Prefix::parse(const std::string& literal) noexcept {
    const std::size_t slash = literal.find('/');
    const auto address = Address::parse(literal.substr(0, slash), 0);
    if (!address || literal.find('%') != std::string::npos) {
        return std::nullopt; // what is on which link no prefix says
    }
    const unsigned offset = address->is_v6() ? 0 : v4_offset;
    std::optional<unsigned> length = host_length - offset;
    if (slash != std::string::npos) {
        length = parse_number<unsigned>(std::string_view{literal}.substr(slash + 1));
    }
    if (!length || *length > host_length - offset) {
        return std::nullopt;
    }
    return Prefix{AddressBits::of(*address), *length + offset};
}

std::string Prefix::text() const {
    const std::string host = address_of(bits_, v4_).host();
    const unsigned length = v4_ ? length_ - v4_offset : length_;
    return length_ == host_length ? host : host + '/' + std::to_string(length);
}

} // namespace dotproxy
