// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// By which line an upstream is asked, where this host has several.

#pragma once

#include "config/config.hh"

namespace dotproxy {

/// Binds a new socket, before connect(), to the source address and to the interface of an upstream,
/// where it has them; the kernel chooses the port. Returns what failed, as errno says; nullptr:
/// nothing did. What cannot leave by that way does not leave by another.
[[nodiscard]] const char* bind_way_out(int socket, const UpstreamConfig& upstream) noexcept;

} // namespace dotproxy
