// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The header that a proxy puts before what it passes on, to say whose it is: versions 1 and 2 of
// the PROXY protocol (HAProxy's proxy-protocol.txt; E74, E75). Pure functions over octets.

#pragma once

#include "base/address.hh"
#include "dns/wire.hh"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace dotproxy {

struct ProxyHeader {
    enum class State : std::uint8_t {
        partial, // more octets are needed to tell
        invalid, // there is none, or not one that is to be believed
        complete,
    };

    State state{State::partial};
    std::size_t size{0};             // octets that it takes, where complete
    bool local{false};               // the proxy speaks for itself
    std::optional<Address> client{}; // nullopt: that, or nothing is known of the client
};

/// Of version 1 a header is no longer than this (section 2.1), and of version 2 none is taken that
/// is longer than the other: what comes behind the addresses is of no interest.
constexpr std::size_t most_proxy_header_v1 = 107;
constexpr std::size_t most_proxy_header = 4096;

/// Reads the header at the beginning of a stream, be it version 1 or 2.
[[nodiscard]] ProxyHeader parse_proxy_header(dns::Octets octets) noexcept;

/// Reads the one at the beginning of a datagram, which is all there: version 2 alone.
[[nodiscard]] ProxyHeader parse_proxy_datagram(dns::Octets octets) noexcept;

} // namespace dotproxy
