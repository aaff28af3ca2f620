// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What dotproxyctl(8) asks of the master, one line each:
//
//     status
//     reload
//     cache
//     flush [NAME [TYPE]]
//     flush-below NAME
//     limits
//     block PREFIX [SECONDS]
//     unblock PREFIX
//
// NAME is a domain name on the wire (RFC 1035, section 3.1) in hexadecimal digits, and TYPE the
// number of a record type: the control plane knows neither how names are written nor what types
// are called. PREFIX is an address or a network, "192.0.2.0/24". The answer is any number of lines
// and, last, "ok" or "error TEXT".

#pragma once

#include "base/prefix.hh"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy {

struct Request {
    enum class Verb : std::uint8_t {
        status,
        reload,
        cache,
        flush,
        flush_below,
        limits,
        block,
        unblock
    };

    static constexpr std::chrono::seconds longest_block = std::chrono::hours{24};

    Verb verb{Verb::status};
    std::vector<std::uint8_t> name; // on the wire, in lower case; empty: every name
    std::uint16_t type{0};          // 0: every type
    Prefix prefix{};                // whom to block or unblock
    std::chrono::seconds time{0};   // for how long, to longest_block; 0: as long as usual
};

/// Reads a request. nullopt when it is none; `problem` then says why.
[[nodiscard]] std::optional<Request> parse_request(std::string_view line, const char*& problem);

/// Whether a flush of `request` takes what a cache holds under `key`: a name on the wire in lower
/// case, its type and class in two octets each, and an octet of flags (dns/key.hh). The key may be
/// anything at all.
[[nodiscard]] bool takes(const Request& request, std::span<const std::uint8_t> key) noexcept;

/// Whether it takes whatever a cache holds.
[[nodiscard]] bool takes_all(const Request& request) noexcept;

/// The last line of an answer that says no. Control characters of `problem` become spaces.
[[nodiscard]] std::string error_line(std::string_view problem);

/// The last line of an answer that is complete.
constexpr std::string_view ok_line = "ok\n";

} // namespace dotproxy
