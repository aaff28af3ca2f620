// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Responses from upstream: the acceptance algorithm (RFC 5452, RFC 7766 section 7; C8, L82).

#pragma once

#include "dns/query.hh"
#include "dns/wire.hh"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>

namespace dotproxy::dns {

/// Extended DNS Errors of a response that are taken along, and how long the text of each may be.
constexpr std::size_t max_errors = 4;
constexpr std::size_t max_error_text = 256;

/// One Extended DNS Error (RFC 8914).
struct ExtendedError {
    enum Code : std::uint16_t {
        other = 0,
        unsupported_algorithm = 1,
        unsupported_digest = 2,
        stale_answer = 3,
        indeterminate = 5,
        dnssec_bogus = 6, // it and those up to nsec_missing: validation failed
        nsec_missing = 12,
        cached_error = 13,
        not_ready = 14,
        blocked = 15, // it and those up to filtered: a filter's word
        filtered = 17,
        prohibited = 18,
        stale_nxdomain = 19,
        not_supported = 21,
        no_reachable_authority = 22,
        network_error = 23,
        invalid_data = 24,
        signature_never_valid = 25, // "Signature Expired before Valid"
        nsec3_iterations = 27,      // "Unsupported NSEC3 Iterations Value"
        synthesized = 29,
        invalid_query_type = 30, // RFC 9824
    };

    /// With a text of our own, which is borrowed.
    [[nodiscard]] static ExtendedError of(std::uint16_t code, std::string_view text) noexcept {
        return {.code = code,
                .text = {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}};
    }

    /// Whether it says that DNSSEC validation of what was found came to nothing (section 4).
    [[nodiscard]] bool is_bogus() const noexcept {
        return (code >= dnssec_bogus && code <= nsec_missing) || code == signature_never_valid ||
               code == nsec3_iterations;
    }

    /// Whether it says that a filter keeps the answer back.
    [[nodiscard]] bool is_filtered() const noexcept { return code >= blocked && code <= filtered; }

    std::uint16_t code{0};
    Octets text; // UTF-8, may be empty; borrowed
};

/// What is to be done with a message that came from upstream.
enum class ResponseVerdict : std::uint8_t {
    accepted,
    ignored,   // not a response to a QUERY: counted, nothing else
    foreign,   // answers another question: the stream cannot be trusted, close it (7.1 step 4)
    malformed, // not to be passed on: SERVFAIL to the client; the stream goes on
    truncated, // TC over a stream (C39): as malformed
    unrelated, // no record answers the question (L82): as malformed
    mixed,     // some do not: not to be passed on but without those, see dns/excerpt.hh
};

/// A response that was accepted or mixed, as offsets into the message it was read from.
struct Response {
    std::uint16_t rcode{0}; // with the upper bits from its OPT
    std::uint16_t flags{0};
    std::size_t question_end{0}; // header_size when it carries no question
    std::size_t body_end{0};     // end of the records to pass on: OPT and what follows cut off
    std::uint16_t answers{0};
    std::uint16_t authorities{0};
    std::uint16_t additionals{0}; // those before the OPT
    bool edns{false};
    std::optional<std::uint16_t> keepalive;         // in units of 100 ms (RFC 7828)
    std::array<ExtendedError, max_errors> errors{}; // the first few it carried
    std::size_t error_count{0};

    [[nodiscard]] std::span<const ExtendedError> said() const noexcept {
        return std::span{errors}.first(error_count);
    }

    /// Adds an error of our own; where there are too many, in place of the last one.
    void say(const ExtendedError& error) noexcept {
        error_count = std::min(error_count + 1, errors.size());
        errors[error_count - 1] = error;
    }
};

/// What a response says of whether another server should be asked the same (RFC 1034, section
/// 5.3.3, step 4d; RFC 9520, section 3).
enum class Failure : std::uint8_t {
    none,        // it answers the question
    meant,       // it fails for what was found: validation failed, or a filter stands before it
    unexplained, // SERVFAIL that does not say why: perhaps because validation failed
    other,       // SERVFAIL, REFUSED, NOTIMP or FORMERR: the server cannot answer, or will not
};

[[nodiscard]] Failure failure_of(const Response& response) noexcept;

/// Reads a response to `asked` whole. The ID has been matched before. Work is bounded by the size
/// of the message, whatever it holds (L5). `out` is meaningful when accepted or mixed.
[[nodiscard]] ResponseVerdict parse_response(Octets message, const Question& asked,
                                             Response& out) noexcept;

/// The keepalive time-out that a response to a sealed query carries is of no interest, and its
/// records are not ours to judge: checks header, question and that the records add up.
[[nodiscard]] ResponseVerdict parse_sealed_response(Octets message, const Question& asked) noexcept;

/// Whether a response to a sealed query, which parse_sealed_response() accepted, is signed itself,
/// so that nothing in it may be changed (RFC 8945, section 5.1; RFC 2931, section 3).
[[nodiscard]] bool is_signed(Octets message) noexcept;

/// Spells the owner names that are `name`, and are spelled out, as it is. The response has been
/// accepted.
void respell_owners(MutableOctets message, const Response& response, const Name& name) noexcept;

} // namespace dotproxy::dns
