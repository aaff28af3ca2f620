// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Names that are answered here and never forwarded: localhost, invalid, test, local, onion (RFC
// 6761, 6762, 7686), the locally served zones (RFC 6303, 7793, 8375, 9665), resolver.arpa (RFC
// 9462), CHAOS identity (C100-C103); zone transfers, which are refused, and NXNAME (RFC 9824).

#pragma once

#include "dns/answer.hh"
#include "dns/name.hh"

#include <cstddef>
#include <optional>
#include <span>

namespace dotproxy::dns {

/// Which of the zones are answered for here.
struct LocalZones {
    bool served; // false: only what must never be forwarded (transfers, NXNAME, resolver.arpa,
                 // CHAOS identity)
    /// Names within them, for which may_be_excepted() holds, that are forwarded all the same, with
    /// all below. Borrowed.
    std::span<const Name> except;
};

/// Whether uncompressed `name`, in lower case, is the apex of a zone that `served` is about, or
/// below one.
[[nodiscard]] bool may_be_excepted(Octets name) noexcept;

/// What is said here about a question.
struct LocalAnswer {
    Rcode refusal{Rcode::noerror}; // unless it is this one, there is nothing else to say
    std::size_t apex{0};           // offset of the zone's own name in QNAME; 0: QNAME is the apex
    bool exists{false};            // else NXDOMAIN
    bool delegated{false}; // the zone has a parent in the public tree, which answers for its DS
    bool addresses{false}; // those of the loopback interface
    bool pointer{false};   // to localhost
};

/// Whether a question is one of those, and then the answer; nullopt: forward it.
[[nodiscard]] std::optional<LocalAnswer> find_local(const Question& question,
                                                    const LocalZones& zones) noexcept;

/// Writes that answer and returns its size, max_udp_answer_size at most. An asker with EDNS is told
/// who made it up.
[[nodiscard]] std::size_t write_local(const LocalAnswer& found, const Question& question,
                                      const Asker& asker, const Channel& channel,
                                      MutableOctets out) noexcept;

} // namespace dotproxy::dns
