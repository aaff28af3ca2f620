// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What a cache keeps of an answer, for how long, and how what was kept becomes an answer again. The
// kept form holds nothing of the question, which is the key (dns/key.hh), and nothing of the OPT
// but the Extended DNS Errors (L24). Where its TTLs are is known from the start, so a hit patches
// them and parses no record. Knows no clock and no cache.

#pragma once

#include "dns/answer.hh"
#include "dns/query.hh"
#include "dns/wire.hh"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace dotproxy::dns {

/// The bounds that the TTLs of what is kept are brought within. The minimum is for positive answers
/// alone, and a maximum beats it. No maximum is taken for more than max_kept_ttl.
struct TtlPolicy {
    std::chrono::seconds min_ttl{0};
    std::chrono::seconds max_ttl{0};
    std::chrono::seconds max_negative_ttl{0};
};

/// RFC 8767, section 4.
constexpr std::chrono::seconds max_kept_ttl = std::chrono::days{7};

enum class Keep : std::uint8_t {
    no,
    answer,  // for as long as its records say
    failure, // says nothing about the name: for a time that is the caller's to choose (C85)
};

/// Whether and for how long an answer may be kept.
struct Keeping {
    Keep keep{Keep::no};
    bool negative{false};        // Keep::answer: the name or the type does not exist (RFC 2308)
    std::chrono::seconds ttl{0}; // Keep::answer: at least 1 s
};

/// Judges an answer to `question`: one that was accepted (a truncated one never is), or a failure
/// of our own. The TTL is the smallest of all records', with a negative answer that of the SOA's
/// MINIMUM as well, within the bounds of `policy`. Not kept are (C81-C87): what was asked for in
/// another class than IN or for a type that is no data; what has a TTL of 0 anywhere; what says
/// that something does not exist, and has no SOA to say for how long.
[[nodiscard]] Keeping keeping_of(const Answer& answer, const Question& question,
                                 const TtlPolicy& policy) noexcept;

/// The most that write_kept() writes: each record takes two octets on top of its own, which are at
/// least 11; each error four.
constexpr std::size_t max_kept_size =
    8 + max_message_size + max_message_size / 11 * 2 + max_errors * (4 + max_error_text);

/// Writes the kept form of `answer`, which keeping_of() found to be worth `keeping`. The TTLs of
/// its records are brought within the bounds of `policy`; in a negative answer that of an SOA in
/// the authority section is no longer than its MINIMUM, so that whoever keeps the answer behind us
/// drops it when we do (RFC 2308, section 6). `out` does not overlap the answer. Returns the size;
/// 0 when `out` is too small.
[[nodiscard]] std::size_t write_kept(const Answer& answer, const Keeping& keeping,
                                     const TtlPolicy& policy, MutableOctets out) noexcept;

/// Makes an answer of a kept one that is `age` old: each TTL in `kept` is lowered by that, down to
/// 0. The answer borrows from `kept`, which is thereby used up: a private copy that may hold
/// anything at all. Nothing outside it is touched, and the work is bounded by its size; nullopt
/// when it is not of the form that write_kept() writes.
[[nodiscard]] std::optional<Answer> read_kept(MutableOctets kept,
                                              std::chrono::seconds age) noexcept;

/// The TTL of what is served although it has expired (RFC 8767, section 4).
constexpr std::chrono::seconds stale_ttl{30};

/// The same for a kept answer that has expired: no TTL is above stale_ttl, nor above what it was
/// when it was kept.
[[nodiscard]] std::optional<Answer> read_stale(MutableOctets kept) noexcept;

/// Whether the upstream says that the data it found failed validation (RFC 8914, section 4; C89):
/// what was kept before must not stand in for it.
[[nodiscard]] bool dnssec_bogus(const Answer& answer) noexcept;

} // namespace dotproxy::dns
