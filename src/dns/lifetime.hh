// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// How long an answer stands, told from the message that a client gets.

#pragma once

#include "dns/wire.hh"

#include <chrono>

namespace dotproxy::dns {

/// For how long a cache that knows no DNS may keep `message`, a whole response (RFC 8484, section
/// 5.1; E59): the smallest TTL in its answer section, and no longer than an SOA beside it says that
/// something does not exist. 0 where there is neither, for what is truncated, and for all RCODEs
/// but NOERROR and NXDOMAIN.
[[nodiscard]] std::chrono::seconds lifetime_of(Octets message) noexcept;

} // namespace dotproxy::dns
