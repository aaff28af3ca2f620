// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Checks of single values that need more than a type and a range, and of values against each other.
// Everything here throws ConfigError.

#pragma once

#include "config/config.hh"
#include "config/document.hh"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy {

/// More workers than this have more contention than use.
constexpr unsigned max_workers = 256;

/// How many CPUs this process may use, by its affinity and by the quota of its control groups, one
/// begun counting as a whole one; at most max_workers.
[[nodiscard]] unsigned usable_cpus();

/// Whose address is meant: what a message tells to give depends on it.
enum class Whose : std::uint8_t { this_machine, another };

/// An address literal of a host, which may stand for all of its own addresses.
[[nodiscard]] Address read_address(const Value& value, std::uint16_t port, Whose whose);

/// A name that a certificate can be checked against (parse_server_name), or an empty one.
[[nodiscard]] std::string read_server_name(const Value& value);
[[nodiscard]] SpkiPin read_pin(const Value& value);

/// An absolute path, or an empty one.
[[nodiscard]] std::string read_pid_file(const Value& value);
/// The same of cookie_secret_file. What is in it is not looked at here.
[[nodiscard]] std::string read_cookie_secret_file(const Value& value);
/// An absolute path that a socket can have, or an empty one.
[[nodiscard]] std::string read_control_socket(const Value& value);
/// An absolute path of a file that can be read. What is in it is not looked at here.
[[nodiscard]] std::string read_ca_file(const Value& value);
/// The same for the file that is used when none is named.
void check_default_ca_file(const Document& document, const std::string& path);
/// An absolute path of a certificate or its key, which the account that serves looks at, not this.
[[nodiscard]] std::string read_certificate_file(const Value& value, std::string_view example);
/// Refuses listeners that speak TLS without a certificate, and certificates that none uses.
void check_certificates(const Config& config);

/// A domain name, in lower case.
[[nodiscard]] dns::Name read_domain(const Value& value, std::string_view example);
/// A name at or below the apex of a zone that local_zones is about, and not among `others`.
[[nodiscard]] dns::Name read_local_exception(const Value& value,
                                             const std::vector<dns::Name>& others);

/// A network, or a single address.
[[nodiscard]] Prefix read_prefix(const Value& value);

/// "any", "local", "loopback" or a prefix, "!" before it where that may not ask. Refuses what
/// `others` speak of.
[[nodiscard]] AccessRule read_access_rule(const Value& value,
                                          const std::vector<AccessRule>& others);

/// Refuses a listener that cannot be bound beside one of `others`: both have a protocol and an
/// address, or one has all addresses on the other's port.
void check_listener(const Value& address, const ListenConfig& listen,
                    const std::vector<ListenConfig>& others);

/// Refuses an address that nothing can be sent to, and one that `others` has.
void check_upstream_address(const Value& value, const Address& address,
                            const std::vector<Address>& others);

/// Refuses an upstream that has group, name and an address of one of `others`.
void check_upstream(const Value& addresses, const UpstreamConfig& upstream,
                    const std::vector<UpstreamConfig>& others);

} // namespace dotproxy
