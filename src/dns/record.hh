// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Resource records on the wire (RFC 1035, section 4.1.3), for this room alone: where one begins and
// ends, with its owner name checked. What RDATA may be is for dns/rdata.hh.

#pragma once

#include "dns/name.hh"
#include "dns/wire.hh"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace dotproxy::dns {

/// One record, as offsets into its message.
struct Record {
    std::size_t owner;
    std::size_t rdata;
    std::size_t end;
    std::uint32_t ttl;
    std::uint16_t type;
    std::uint16_t klass;
};

/// Octets of TYPE, CLASS, TTL and RDLENGTH.
constexpr std::size_t record_fixed_size = 10;

/// Octets of QTYPE and QCLASS.
constexpr std::size_t question_fixed_size = 4;

/// The record at `at`, which was found before and whose owner name takes up `owner_size` octets.
[[nodiscard]] inline Record known_record_at(Octets message, std::size_t at,
                                            std::size_t owner_size) noexcept {
    const std::size_t fixed = at + owner_size;
    const std::size_t rdata = fixed + record_fixed_size;
    return {.owner = at,
            .rdata = rdata,
            .end = rdata + load16(message, fixed + 8),
            .ttl = load32(message, fixed + 4),
            .type = load16(message, fixed),
            .klass = load16(message, fixed + 2)};
}

/// The record at `at`, whose owner name takes up `owner_size` octets. nullopt when it runs past the
/// end.
[[nodiscard]] inline std::optional<Record> record_at(Octets message, std::size_t at,
                                                     std::size_t owner_size) noexcept {
    if (message.size() - at < owner_size + record_fixed_size) {
        return std::nullopt;
    }
    const Record record = known_record_at(message, at, owner_size);
    return record.end <= message.size() ? std::optional{record} : std::nullopt;
}

/// The record at `at`. nullopt when its owner is no name, or when it runs past the end.
[[nodiscard]] inline std::optional<Record> record_at(Octets message, std::size_t at) noexcept {
    const std::optional<std::size_t> owner_size = name_extent(message, at);
    return owner_size ? record_at(message, at, *owner_size) : std::nullopt;
}

/// Where the records of a message with a header begin; nullopt where there is no whole question.
[[nodiscard]] inline std::optional<std::size_t> records_of(Octets message) noexcept {
    std::size_t at = header_size;
    for (unsigned i = 0; i < qdcount(message); ++i) {
        const auto name_size = name_extent(message, at);
        if (!name_size || message.size() - at < *name_size + question_fixed_size) {
            return std::nullopt;
        }
        at += *name_size + question_fixed_size;
    }
    return at;
}

/// A TTL; one with the highest bit set is 0 (RFC 2181, section 8).
[[nodiscard]] inline std::uint32_t unsigned_ttl(std::uint32_t ttl) noexcept {
    constexpr std::uint32_t sign = 1U << 31U;
    return (ttl & sign) != 0 ? 0 : ttl;
}

/// Whether it is an SOA with all its numbers.
[[nodiscard]] inline bool is_soa(const Record& record) noexcept {
    constexpr std::size_t numbers_size = 20; // octets
    return record.type == type::soa && record.klass == klass::in &&
           record.end - record.rdata >= numbers_size;
}

/// For how long such an SOA says that something does not exist (C83).
[[nodiscard]] inline std::uint32_t negative_ttl(Octets octets, const Record& soa) noexcept {
    constexpr std::size_t minimum_size = 4; // octets; the last of the numbers
    const std::uint32_t minimum = load32(octets, soa.end - minimum_size);
    return std::min(unsigned_ttl(soa.ttl), unsigned_ttl(minimum));
}

/// Writes a question behind the header of the message in `out`. Returns where it ends.
[[nodiscard]] inline std::size_t put_question(MutableOctets out, Octets name, std::uint16_t type,
                                              std::uint16_t klass) noexcept {
    std::copy(name.begin(), name.end(), out.begin() + header_size);
    const std::size_t fixed = header_size + name.size();
    store16(out, fixed, type);
    store16(out, fixed + 2, klass);
    return fixed + question_fixed_size;
}

} // namespace dotproxy::dns
