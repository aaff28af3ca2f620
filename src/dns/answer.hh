// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Answers to clients: an accepted response in the form its asker can take, or one of our own.

#pragma once

#include "dns/query.hh"
#include "dns/response.hh"
#include "dns/wire.hh"

#include <optional>

namespace dotproxy::dns {

/// What the way to the client allows.
struct Channel {
    std::size_t limit{max_message_size};    // octets; for UDP see udp_limit()
    std::optional<std::uint16_t> keepalive; // offered over TCP to who asked, in units of 100 ms
};

/// The largest UDP answer `asker` may get (C33, C34).
[[nodiscard]] std::size_t udp_limit(const Asker& asker) noexcept;

/// The room that an answer can need beyond the upstream message: our OPT with everything in it.
constexpr std::size_t answer_overhead = 320;

/// Writes `message` (accepted as `response`) for `asker`: its ID, flags, spelling, an OPT where it
/// sent one, with the upstream's Extended DNS Errors as far as there is room. What does not fit
/// `channel.limit` becomes a header, the question and the OPT with TC set (C35). `out` holds at
/// least channel.limit octets. Returns the size, never more than channel.limit.
[[nodiscard]] std::size_t write_answer(Octets message, const Response& response,
                                       const Question& question, const Asker& asker,
                                       const Channel& channel, MutableOctets out) noexcept;

/// Writes an answer of our own without records: `rcode`, the question, and an OPT (with `error`)
/// where the asker sent one. `question` nullptr: a bare header (C29).
[[nodiscard]] std::size_t write_failure(Rcode rcode, const std::optional<ExtendedError>& error,
                                        const Question* question, const Asker& asker,
                                        const Channel& channel, MutableOctets out) noexcept;

/// Copies a response to a sealed query and puts the client's ID on it; nothing else changes. Where
/// it does not fit channel.limit: header, question and OPT with TC, as in write_answer().
[[nodiscard]] std::size_t write_sealed(Octets message, const Question& question, const Asker& asker,
                                       const Channel& channel, MutableOctets out) noexcept;

} // namespace dotproxy::dns
