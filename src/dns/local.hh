// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Names that are answered here and never forwarded: localhost, invalid, test, local, onion (RFC
// 6761, 6762, 7686), the locally served zones (RFC 6303, 7793, 8375, 9665), resolver.arpa (RFC
// 9462), CHAOS identity (C100-C103); zone transfers, which are refused, and NXNAME (RFC 9824).

#pragma once

#include "dns/answer.hh"
#include "dns/name.hh"

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

/// Answers `question` here if it is one of those. Returns the answer's size; 0: forward it. An
/// asker with EDNS is told who made the answer up.
[[nodiscard]] std::size_t answer_locally(const Question& question, const Asker& asker,
                                         const LocalZones& zones, const Channel& channel,
                                         MutableOctets out) noexcept;

} // namespace dotproxy::dns
