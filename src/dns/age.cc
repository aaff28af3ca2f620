// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/age.hh"

#include "dns/record.hh"

#include <algorithm>
#include <limits>

namespace dotproxy::dns {

void lower_ttls(MutableOctets message, std::chrono::seconds age) noexcept {
    if (message.size() < header_size || age.count() <= 0) {
        return;
    }
    constexpr std::int64_t longest = std::numeric_limits<std::uint32_t>::max();
    const auto less = static_cast<std::uint32_t>(std::min<std::int64_t>(age.count(), longest));
    const auto begin = records_of(message);
    if (!begin) {
        return;
    }
    std::size_t at = *begin;
    const unsigned records = 0U + ancount(message) + nscount(message) + arcount(message);
    for (unsigned i = 0; i < records; ++i) {
        const auto record = record_at(message, at);
        if (!record) {
            return;
        }
        if (record->type != type::opt) {
            constexpr std::size_t from_ttl = 6; // octets from a TTL to the RDATA
            const std::uint32_t ttl = unsigned_ttl(record->ttl);
            store32(message, record->rdata - from_ttl, ttl - std::min(ttl, less));
        }
        at = record->end;
    }
}

} // namespace dotproxy::dns
