// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The certificates of clients over TLS, as the configuration names them. They are read by the
// account that serves, at the start as at a reload: a key that only root can read would end the
// service at its first reload, and a process that keeps that right has more than it needs (E1).

#pragma once

#include "config/config.hh"
#include "tls/server_context.hh"

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

namespace dotproxy {

using ServerTls = std::shared_ptr<const tls::ServerContext>; // nullptr: no listener speaks TLS

/// Loads them. `key`: of tickets. Throws ConfigError.
[[nodiscard]] ServerTls load_certificates(const Config& config,
                                          const std::shared_ptr<const tls::TicketKey>& key);

/// The same without a key, for who only looks.
[[nodiscard]] ServerTls try_certificates(const Config& config);

/// A line for each: its file, names, type of key, and when it ends (E5).
[[nodiscard]] std::vector<std::string> describe(const ServerTls& tls);

/// What the administrator should know of them, a line each (E4).
[[nodiscard]] std::vector<std::string> warnings_of(const Config& config, const ServerTls& tls);

/// How long until the first of them ends; 0: it has, or there is none.
[[nodiscard]] std::uint64_t seconds_left(const ServerTls& tls) noexcept;

} // namespace dotproxy
