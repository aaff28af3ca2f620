// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Queries: what a client asked, and what we ask upstream in its stead. dotproxy is an
// "intelligent forwarder" (RFC 6891, section 6.2.6): the OPT of one side is never the other's.

#pragma once

#include "dns/cookie.hh"
#include "dns/name.hh"
#include "dns/wire.hh"

#include <optional>

namespace dotproxy::dns {

/// The question as it is keyed and forwarded. Two queries with equal questions get the same answer
/// (C80), apart from what Asker describes.
struct Question {
    Name name; // lower case
    std::uint16_t type{0};
    std::uint16_t klass{0};
    bool recursion_desired{false};
    bool checking_disabled{false};
    bool authentic_data{false};
    bool dnssec_ok{false};
    bool subnet_opt_out{false}; // ECS with source prefix length 0 (RFC 7871, section 7.1.2)
    std::uint8_t group{0};      // of upstreams, that is asked: another one may answer otherwise

    friend bool operator==(const Question& a, const Question& b) noexcept;
};

/// How the answer must look for the one who asked: what a query holds besides its Question.
struct Asker {
    std::uint16_t id{0};
    std::uint16_t flags{0};              // as they came: opcode, RD, CD, AD
    std::uint16_t udp_payload_size{512}; // RFC 6891, section 6.2.3; at least 512
    Spelling spelling;
    bool edns{false}; // it sent an OPT, so it gets one (C41)
    bool dnssec_ok{false};
    bool keepalive{false};          // it asked for the keepalive time-out (RFC 7828)
    bool padding{false};            // it sent the padding option (RFC 7830)
    bool subnet{false};             // it sent an ECS opt-out, which is echoed
    std::uint16_t subnet_family{0}; // as it came: the echo must match (RFC 7871, section 7.3)
    std::optional<Cookie> cookie{}; // that it gets; parse_query() gives none
};

/// What is to be done with a message that a client sent.
enum class QueryVerdict : std::uint8_t {
    forward,      // a well-formed QUERY: question and asker are filled in
    sealed,       // the same, but signed (TSIG, SIG(0)): forward octet by octet but the ID (C25)
    cookie_only,  // well-formed, no question: a cookie is to be given or tried (RFC 7873, 5.4)
    drop,         // shorter than a header, or a response (C28, C29): no answer at all
    format_error, // FORMERR; if `asker.flags` and `asker.id` are all that is known: a bare header
    not_implemented, // NOTIMP: an opcode other than QUERY (C27)
    bad_version,     // BADVERS: EDNS version above 0 (C42)
};

/// What parse_query() found.
struct ParsedQuery {
    Question question;
    Asker asker;
    Octets cookie; // that it sent, of a size that is_cookie_size(), in the message; empty: none
    std::size_t question_end{0}; // octets of header and question; 0 when the question is unreadable
};

/// Reads a client's message whole and strictly (L1): one question, no octets left over, at most one
/// OPT, and that well-formed at the root in the additional section (C26, C30, C43-C47). Of several
/// cookies the first counts (RFC 7873, section 5.2).
[[nodiscard]] QueryVerdict parse_query(Octets message, ParsedQuery& out) noexcept;

/// The largest message write_query() makes.
constexpr std::size_t max_query_size = 384;

/// Writes the upstream query for `question`: our own OPT, padded to a multiple of 128 octets
/// (RFC 8467), with an empty keepalive option where `keepalive` (RFC 7828, section 3.2.1). Returns
/// its size. `out` holds at least max_query_size octets.
[[nodiscard]] std::size_t write_query(const Question& question, std::uint16_t id, bool keepalive,
                                      MutableOctets out) noexcept;

/// The same as it goes out in the clear: nothing is padded, since its length is seen anyway, and
/// for a server that knows no EDNS there is no OPT.
[[nodiscard]] std::size_t write_plain_query(const Question& question, std::uint16_t id, bool edns,
                                            MutableOctets out) noexcept;

} // namespace dotproxy::dns
