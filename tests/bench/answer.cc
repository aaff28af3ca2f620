// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "bench/answer.hh"

#include <algorithm>
#include <array>

namespace dotproxy::bench {

namespace {

/// Offset behind the question, or nullopt.
std::optional<std::size_t> question_end(dns::Octets query) noexcept {
    std::size_t at = dns::header_size;
    while (at < query.size() && query[at] != 0) {
        if (query[at] > 63) {
            return std::nullopt;
        }
        at += 1U + query[at];
    }
    at += 1 + 4;
    return at <= query.size() ? std::optional{at} : std::nullopt;
}

/// Whether an OPT record starts at `at`, and its DO bit (RFC 6891, section 6.1).
struct Edns {
    bool present{false};
    std::uint8_t dnssec_ok{0};
};

Edns edns_at(dns::Octets query, std::size_t at) noexcept {
    if (dns::arcount(query) == 0 || query.size() < at + 11 || query[at] != 0 ||
        dns::load16(query, at + 1) != dns::type::opt) {
        return {};
    }
    return {.present = true, .dnssec_ok = static_cast<std::uint8_t>(query[at + 7] & 0x80U)};
}

} // namespace

std::optional<std::size_t> write_answer(dns::Octets query, std::uint32_t ttl,
                                        dns::MutableOctets out) noexcept {
    if (query.size() < dns::header_size || dns::qdcount(query) != 1 ||
        (dns::flags(query) & (dns::flag::response | dns::flag::opcode_mask)) != 0) {
        return std::nullopt;
    }
    const auto end = question_end(query);
    if (!end || out.size() < query.size() + answer_growth) {
        return std::nullopt;
    }
    const bool address = dns::load16(query, *end - 4) == dns::type::a;
    const Edns edns = edns_at(query, *end);
    std::copy_n(query.begin(), *end, out.begin());
    dns::set_flags(out,
                   static_cast<std::uint16_t>(dns::flag::response | dns::flag::recursion_available |
                                              (dns::flags(query) & dns::flag::recursion_desired)));
    dns::set_counts(out, 1, address ? 1 : 0, 0, edns.present ? 1 : 0);
    std::size_t size = *end;
    if (address) {
        std::array<std::uint8_t, 16> record{0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1};
        dns::store32(record, 6, ttl);
        std::copy(record.begin(), record.end(), out.begin() + static_cast<std::ptrdiff_t>(size));
        size += record.size();
    }
    if (edns.present) {
        const std::array<std::uint8_t, 11> record{0, 0, 41, 4, 0xd0, 0, 0, edns.dnssec_ok, 0, 0, 0};
        std::copy(record.begin(), record.end(), out.begin() + static_cast<std::ptrdiff_t>(size));
        size += record.size();
    }
    return size;
}

} // namespace dotproxy::bench
