// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The names of all keys, group by group: what is not here is refused. dotproxy.conf(5) describes
// each of them, and a test holds the two together.

#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy {

using Words = std::span<const std::string_view>;

namespace keys {

using namespace std::string_view_literals;

inline constexpr std::array top{
    "workers"sv,           "user"sv,  "group"sv,          "pid_file"sv, "listen"sv,
    "upstreams"sv,         "tls"sv,   "timeouts"sv,       "limits"sv,   "log"sv,
    "local_zones"sv,       "cache"sv, "control_socket"sv, "sandbox"sv,  "local_zones_except"sv,
    "failover_on_error"sv, "allow"sv, "routes"sv};
inline constexpr std::array listen{"address"sv, "port"sv, "protocols"sv, "allow"sv,
                                   "path"sv,    "cors"sv, "trusted"sv,   "proxy_protocol"sv};
inline constexpr std::array upstream{"name"sv,  "addresses"sv, "port"sv, "pins"sv,   "ca_file"sv,
                                     "group"sv, "transport"sv, "url"sv,  "source"sv, "interface"sv};
inline constexpr std::array route{"domains"sv, "group"sv};
inline constexpr std::array tls{"ca_file"sv, "certificates"sv};
inline constexpr std::array certificate{"chain"sv, "key"sv};
inline constexpr std::array timeouts{"query"sv,    "connect"sv,       "client_idle"sv,
                                     "tls_idle"sv, "upstream_idle"sv, "drain"sv};
inline constexpr std::array limits{
    "queries"sv,    "tcp_clients"sv, "tls_clients"sv,       "queries_per_client"sv,
    "mode"sv,       "client_rate"sv, "client_misses"sv,     "client_connects"sv,
    "block_time"sv, "networks"sv,    "cookie_secret_file"sv};
inline constexpr std::array network{"prefix"sv, "factor"sv};
inline constexpr std::array cache{
    "size"sv,        "min_ttl"sv,     "max_ttl"sv,   "max_negative_ttl"sv,
    "failure_ttl"sv, "stale_after"sv, "max_stale"sv, "prefetch"sv};
inline constexpr std::array log{"level"sv, "target"sv};

/// Every key that holds a value and not a group, by its path: "workers", "listen[].address",
/// "timeouts.query".
[[nodiscard]] std::vector<std::string> all();

} // namespace keys

/// The word of `known` that `word` most likely was meant to be; empty when none is close.
[[nodiscard]] std::string_view nearest(std::string_view word, Words known);

/// The path of the key whose last word is `name`, as keys::all() has it; empty when there is none,
/// or several.
[[nodiscard]] std::string path_of(std::string_view name);

/// The program, or its file, whose configuration has `word` as a key; empty when none is known.
[[nodiscard]] std::string_view program_of(std::string_view word) noexcept;

/// The words as a sentence has them: "a, b or c".
[[nodiscard]] std::string alternatives(Words words);

} // namespace dotproxy
