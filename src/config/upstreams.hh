// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What `upstreams` and `routes` say: who is asked, and about what.

#pragma once

#include "config/config.hh"
#include "config/document.hh"

namespace dotproxy {

/// The port of an upstream that gives none.
constexpr std::uint16_t default_upstream_port = default_dot_port;

/// Reads the upstreams and the groups that they are in. Throws ConfigError.
void read_upstreams(const Value& list, Config& config);

/// Reads which group is asked about which names; after the upstreams. Throws ConfigError.
void read_routes(const Value& list, Config& config);

} // namespace dotproxy
