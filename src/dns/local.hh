// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Names that are answered here and never forwarded: localhost, invalid, onion (RFC 6761, 7686), the
// locally served reverse zones (RFC 6303), resolver.arpa (RFC 9462), CHAOS identity (C100-C103),
// and zone transfers, which are refused.

#pragma once

#include "dns/answer.hh"

namespace dotproxy::dns {

/// Answers `question` here if it is one of those. Returns the answer's size; 0: forward it.
/// `zones` false: only what must never be forwarded (transfers, resolver.arpa, CHAOS identity).
[[nodiscard]] std::size_t answer_locally(const Question& question, const Asker& asker, bool zones,
                                         const Channel& channel, MutableOctets out) noexcept;

} // namespace dotproxy::dns
