// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the benchmark's upstream says: to every question for an address one A record, to every
// other question nothing, always NOERROR. Pure; knows no sockets.

#pragma once

#include "dns/wire.hh"

#include <cstdint>
#include <optional>

namespace dotproxy::bench {

/// Octets an answer can need beyond its query: the A record and an OPT record.
constexpr std::size_t answer_growth = 16 + 11;

/// Writes the answer to `query` to `out`, which holds query.size() + answer_growth octets or more,
/// with an A record that lives `ttl` seconds. Its size, or nullopt when the query is not one that
/// a forwarder may send (RFC 1035, section 4.1): one uncompressed question, and at most an OPT
/// record in front of the additional section.
[[nodiscard]] std::optional<std::size_t> write_answer(dns::Octets query, std::uint32_t ttl,
                                                      dns::MutableOctets out) noexcept;

} // namespace dotproxy::bench
