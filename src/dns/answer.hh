// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Answers to clients: an accepted response in the form its asker can take, or one of our own. An
// Answer is what they have in common with those that were kept (dns/kept.hh).

#pragma once

#include "dns/query.hh"
#include "dns/response.hh"
#include "dns/wire.hh"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace dotproxy::dns {

/// What the way to the client allows.
struct Channel {
    std::size_t limit{max_message_size};    // octets; for UDP see udp_limit()
    std::optional<std::uint16_t> keepalive; // offered over TCP to who asked, in units of 100 ms
    bool encrypted{false};                  // who can take it gets all answers of a few sizes
};

/// The largest UDP answer `asker` may get (C33, C34).
[[nodiscard]] std::size_t udp_limit(const Asker& asker) noexcept;

/// What is answered to a question, whoever asked. Borrows from the message, or whatever else it was
/// made of.
struct Answer {
    std::uint16_t rcode{0}; // with the upper bits
    bool authentic{false};  // the upstream set AD
    std::uint16_t answers{0};
    std::uint16_t authorities{0};
    std::uint16_t additionals{0}; // without an OPT
    /// All these records, without an OPT. The pointers in them refer to a message in which they
    /// follow header and question.
    Octets records;
    std::array<ExtendedError, max_errors> errors{};
    std::size_t error_count{0};

    [[nodiscard]] std::span<const ExtendedError> said() const noexcept {
        return std::span{errors}.first(error_count);
    }

    /// Adds an error of our own, in front of what the upstream said; where there are too many, the
    /// last one goes.
    void say_first(const ExtendedError& error) noexcept;
};

/// The view of `message`, which was accepted as `response`.
[[nodiscard]] Answer answer_of(Octets message, const Response& response) noexcept;

/// The room that an answer can need beyond header, question and records: our OPT with everything in
/// it.
constexpr std::size_t answer_overhead = 320;
/// And what padding can add to it where the channel is encrypted (RFC 8467, section 4.1).
constexpr std::size_t padded_block = 468;
constexpr std::size_t padding_room = padded_block + 4;

/// The room to give write_answer() where the channel's limit is no less.
[[nodiscard]] std::size_t answer_room(const Answer& answer, const Question& question) noexcept;

/// Writes `answer` for `asker`: its ID, flags, spelling, an OPT where it sent one, with the
/// Extended DNS Errors as far as there is room. What does not fit `channel.limit` becomes a header,
/// the question and the OPT with TC set (C35). `out` holds at least channel.limit octets. Returns
/// the size, never more than channel.limit.
[[nodiscard]] std::size_t write_answer(const Answer& answer, const Question& question,
                                       const Asker& asker, const Channel& channel,
                                       MutableOctets out) noexcept;

/// Writes an answer of our own without records: `rcode`, the question, and an OPT (with `error`)
/// where the asker sent one. `question` nullptr: there is none, as in a bare header (C29).
[[nodiscard]] std::size_t write_failure(Rcode rcode, const std::optional<ExtendedError>& error,
                                        const Question* question, const Asker& asker,
                                        const Channel& channel, MutableOctets out) noexcept;

/// Writes an answer that says nothing but that it would not fit: NOERROR, the question, an OPT
/// where the asker sent one, TC.
[[nodiscard]] std::size_t write_truncated(const Question& question, const Asker& asker,
                                          const Channel& channel, MutableOctets out) noexcept;

/// Copies a response to a sealed query and puts the client's ID on it; nothing else changes. Where
/// it does not fit channel.limit: header, question and OPT with TC, as in write_answer().
[[nodiscard]] std::size_t write_sealed(Octets message, const Question& question, const Asker& asker,
                                       const Channel& channel, MutableOctets out) noexcept;

} // namespace dotproxy::dns
