// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What a cache that knows no DNS has taken from the life of an answer.

#pragma once

#include "dns/wire.hh"

#include <chrono>

namespace dotproxy::dns {

/// Lowers each TTL in `message`, a response that was kept for `age` on its way, by that, down to 0
/// (RFC 8484, section 5.1; E87). The OPT is no record. A message is left alone from where it cannot
/// be read on.
void lower_ttls(MutableOctets message, std::chrono::seconds age) noexcept;

} // namespace dotproxy::dns
