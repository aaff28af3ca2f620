// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What `listen` says: where questions come in, in which protocols, and who may ask there.

#pragma once

#include "config/config.hh"
#include "config/document.hh"

namespace dotproxy {

/// The port of a listener that gives none.
constexpr std::uint16_t default_listen_port = 5300; // needs no privilege, and is nobody else's

/// Reads the listeners, and where the first of them stands that takes a certificate. Throws
/// ConfigError.
void read_listen(const Value& list, Config& config);

/// Reads a list of who may ask. Throws ConfigError.
[[nodiscard]] Access read_access(const Value& list);

} // namespace dotproxy
