// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The DNS message on the wire (RFC 1035, section 4.1): octets, integers and the header's fields,
// one accessor each. Everything else in this room goes through these.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace dotproxy::dns {

using Octets = std::span<const std::uint8_t>;
using MutableOctets = std::span<std::uint8_t>;

constexpr std::size_t header_size = 12;
constexpr std::size_t max_message_size = 65535;
constexpr std::size_t max_name_size = 255;
/// What a client without EDNS can take over UDP (RFC 1035, section 4.2.1).
constexpr std::size_t classic_udp_size = 512;
/// The largest UDP answer sent, whatever the client offers (RFC 9715; DNS flag day 2020).
constexpr std::size_t max_udp_answer_size = 1232;

// Bits of the header's second 16-bit word.
namespace flag {
constexpr std::uint16_t response = 0x8000;            // QR
constexpr std::uint16_t opcode_mask = 0x7800;         // four bits
constexpr std::uint16_t authoritative = 0x0400;       // AA
constexpr std::uint16_t truncated = 0x0200;           // TC
constexpr std::uint16_t recursion_desired = 0x0100;   // RD
constexpr std::uint16_t recursion_available = 0x0080; // RA
constexpr std::uint16_t reserved = 0x0040;            // Z
constexpr std::uint16_t authentic_data = 0x0020;      // AD
constexpr std::uint16_t checking_disabled = 0x0010;   // CD
constexpr std::uint16_t rcode_mask = 0x000f;
} // namespace flag

enum class Rcode : std::uint16_t {
    noerror = 0,
    formerr = 1,
    servfail = 2,
    nxdomain = 3,
    notimp = 4,
    refused = 5,
    badvers = 16,
    badcookie = 23, // RFC 7873, section 8
};

namespace type {
constexpr std::uint16_t a = 1;
constexpr std::uint16_t ns = 2;
constexpr std::uint16_t cname = 5;
constexpr std::uint16_t soa = 6;
constexpr std::uint16_t ptr = 12;
constexpr std::uint16_t mx = 15;
constexpr std::uint16_t txt = 16;
constexpr std::uint16_t sig = 24;
constexpr std::uint16_t aaaa = 28;
constexpr std::uint16_t srv = 33;
constexpr std::uint16_t dname = 39;
constexpr std::uint16_t opt = 41;
constexpr std::uint16_t ds = 43;
constexpr std::uint16_t rrsig = 46;
constexpr std::uint16_t dnskey = 48;
constexpr std::uint16_t svcb = 64;
constexpr std::uint16_t https = 65;
constexpr std::uint16_t nxname = 128;
constexpr std::uint16_t tkey = 249;
constexpr std::uint16_t tsig = 250;
constexpr std::uint16_t ixfr = 251;
constexpr std::uint16_t axfr = 252;
constexpr std::uint16_t any = 255;
} // namespace type

namespace klass {
constexpr std::uint16_t in = 1;
constexpr std::uint16_t ch = 3;
constexpr std::uint16_t any = 255;
} // namespace klass

[[nodiscard]] inline std::uint16_t load16(Octets from, std::size_t at) noexcept {
    return static_cast<std::uint16_t>(from[at] << 8U | from[at + 1]);
}

[[nodiscard]] inline std::uint32_t load32(Octets from, std::size_t at) noexcept {
    return std::uint32_t{load16(from, at)} << 16U | load16(from, at + 2);
}

inline void store16(MutableOctets to, std::size_t at, std::uint16_t value) noexcept {
    to[at] = static_cast<std::uint8_t>(value >> 8U);
    to[at + 1] = static_cast<std::uint8_t>(value & 0xffU);
}

inline void store32(MutableOctets to, std::size_t at, std::uint32_t value) noexcept {
    store16(to, at, static_cast<std::uint16_t>(value >> 16U));
    store16(to, at + 2, static_cast<std::uint16_t>(value & 0xffffU));
}

// The header's fields. `message` holds at least header_size octets.
[[nodiscard]] inline std::uint16_t id(Octets message) noexcept {
    return load16(message, 0);
}

[[nodiscard]] inline std::uint16_t flags(Octets message) noexcept {
    return load16(message, 2);
}

[[nodiscard]] inline std::uint16_t qdcount(Octets message) noexcept {
    return load16(message, 4);
}

[[nodiscard]] inline std::uint16_t ancount(Octets message) noexcept {
    return load16(message, 6);
}

[[nodiscard]] inline std::uint16_t nscount(Octets message) noexcept {
    return load16(message, 8);
}

[[nodiscard]] inline std::uint16_t arcount(Octets message) noexcept {
    return load16(message, 10);
}

[[nodiscard]] inline unsigned opcode(Octets message) noexcept {
    return (flags(message) & flag::opcode_mask) >> 11U;
}

inline void set_id(MutableOctets message, std::uint16_t value) noexcept {
    store16(message, 0, value);
}

inline void set_flags(MutableOctets message, std::uint16_t value) noexcept {
    store16(message, 2, value);
}

inline void set_counts(MutableOctets message, std::uint16_t qd, std::uint16_t an, std::uint16_t ns,
                       std::uint16_t ar) noexcept {
    store16(message, 4, qd);
    store16(message, 6, an);
    store16(message, 8, ns);
    store16(message, 10, ar);
}

} // namespace dotproxy::dns
