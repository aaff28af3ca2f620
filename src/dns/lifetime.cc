// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/lifetime.hh"

#include "dns/record.hh"

#include <algorithm>
#include <limits>

namespace dotproxy::dns {

namespace {

constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

/// Whether it says something about the name that others may be told.
bool says_something(Octets message) noexcept {
    const auto rcode = static_cast<Rcode>(flags(message) & flag::rcode_mask);
    return (flags(message) & flag::truncated) == 0 &&
           (rcode == Rcode::noerror || rcode == Rcode::nxdomain);
}

} // namespace

std::chrono::seconds lifetime_of(Octets message) noexcept {
    using std::chrono::seconds;
    if (message.size() < header_size || !says_something(message)) {
        return seconds{0};
    }
    const auto records = records_of(message);
    if (!records) {
        return seconds{0};
    }
    std::uint32_t least = none;
    std::size_t at = *records;
    const unsigned answers = ancount(message);
    const unsigned all = answers + nscount(message);
    for (unsigned i = 0; i < all; ++i) {
        const auto record = record_at(message, at);
        if (!record) {
            return seconds{0};
        }
        if (i < answers) {
            least = std::min(least, unsigned_ttl(record->ttl));
        } else if (is_soa(*record)) {
            least = std::min(least, negative_ttl(message, *record));
        }
        at = record->end;
    }
    return seconds{least == none ? 0 : least};
}

} // namespace dotproxy::dns
