// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// X-Forwarded-For: whose a request is that came through proxies.

#pragma once

#include "base/address.hh"
#include "config/config.hh"

#include <optional>
#include <string_view>

namespace dotproxy {

/// The client in a list of addresses, of which each proxy has added the one that it was asked from.
/// Read from the end, it is the first that `here` does not trust: what stands before that, the
/// client may have written itself (E73). Where all are trusted, the first. A port is left out, and
/// brackets; nullopt where there is no address, or what is no address stands where it is looked
/// for.
[[nodiscard]] std::optional<Address> forwarded_client(std::string_view list,
                                                      const ListenConfig& here) noexcept;

} // namespace dotproxy
