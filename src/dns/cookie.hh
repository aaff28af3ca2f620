// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The COOKIE option (RFC 7873, section 4), as a client sends it: a cookie of its own, and behind it
// the one that a server gave it. What is in a server's cookie is not this room's business.

#pragma once

#include "dns/wire.hh"

#include <array>
#include <cstddef>
#include <cstdint>

namespace dotproxy::dns {

constexpr std::size_t client_cookie_size = 8;
/// Of any server; 0 where the client has none yet.
constexpr std::size_t least_server_cookie_size = 8;
constexpr std::size_t most_server_cookie_size = 32;
/// Of all servers that make them as RFC 9018 says.
constexpr std::size_t server_cookie_size = 16;

/// The client's cookie and a server's as RFC 9018 has it: what goes back in an answer.
using Cookie = std::array<std::uint8_t, client_cookie_size + server_cookie_size>;

/// Whether the option may have so many octets of data: 8, or 16 to 40. Anything else is a format
/// error (RFC 7873, section 5.2.2).
[[nodiscard]] constexpr bool is_cookie_size(std::size_t size) noexcept {
    return size == client_cookie_size || (size >= client_cookie_size + least_server_cookie_size &&
                                          size <= client_cookie_size + most_server_cookie_size);
}

} // namespace dotproxy::dns
