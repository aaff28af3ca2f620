// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The two ways to write down whom an upstream must prove to be: a name, and a key's pin.

#pragma once

#include "config/config.hh"

#include <optional>
#include <string>
#include <string_view>

namespace dotproxy {

/// Reads what a certificate can be checked against: a DNS name of letters, digits and hyphens (an
/// international one as A-labels), or an IP address. Returns it in lower case without the trailing
/// dot, an address in its usual form (C63). nullopt when it is neither.
[[nodiscard]] std::optional<std::string> parse_server_name(std::string_view text);

/// Reads the base64 of 32 octets (RFC 4648, section 4; C65). nullopt when it is not exactly that.
[[nodiscard]] std::optional<SpkiPin> parse_pin(std::string_view text) noexcept;

} // namespace dotproxy
