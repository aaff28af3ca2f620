// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// How TCP behaves under a connection to an upstream. Each option is an improvement, none a
// condition: what the kernel refuses stays as it is.

#pragma once

#include "base/clock.hh"

namespace dotproxy {

/// For a new socket, before connect(): segments leave at once, with TCP Fast Open the first octets
/// travel in the SYN, and what nobody acknowledges for `patience` ends the connection.
void set_options(int socket, Milliseconds patience) noexcept;

/// Acknowledges at once what was received so far, and for a while. To be called again and again.
void acknowledge_at_once(int socket) noexcept;

} // namespace dotproxy
