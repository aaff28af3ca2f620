// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The URL of a resolver that is asked over HTTPS.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace dotproxy {

/// Where requests go, taken apart.
struct Url {
    std::string name; // as parse_server_name() gives it: an address without brackets
    std::uint16_t port;
    std::string authority; // as a request has it, without a port that is usual
    std::string path;      // with what follows a "?"
};

/// Reads "https://dns.example/dns-query", and templates that end in "{?dns}", which is left off
/// since nothing is asked by GET (RFC 8484, section 4.1). Where it is none: what is wrong with it,
/// as the end of a sentence that begins with the URL.
[[nodiscard]] std::variant<Url, std::string_view> parse_url(std::string_view text);

} // namespace dotproxy
