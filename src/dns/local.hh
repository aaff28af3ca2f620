// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Names that are answered here and never forwarded: localhost, invalid, test, local, onion (RFC
// 6761, 6762, 7686), the locally served zones (RFC 6303, 7793, 8375, 9665), resolver.arpa (RFC
// 9462), CHAOS identity (C100-C103); zone transfers, which are refused, and NXNAME (RFC 9824).

#pragma once

#include "dns/answer.hh"

namespace dotproxy::dns {

/// Answers `question` here if it is one of those. Returns the answer's size; 0: forward it.
/// `zones` false: only what must never be forwarded (transfers, NXNAME,
/// resolver.arpa, CHAOS identity).
[[nodiscard]] std::size_t answer_locally(const Question& question, const Asker& asker, bool zones,
                                         const Channel& channel, MutableOctets out) noexcept;

} // namespace dotproxy::dns
