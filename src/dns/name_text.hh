// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Domain names as people write them (RFC 1035, section 5.1).

#pragma once

#include "dns/name.hh"

#include <optional>
#include <string>
#include <string_view>

namespace dotproxy::dns {

/// A name on the wire, in lower case, from "Example.org", "example.org." or ".", with \X and \DDD
/// for octets that have a meaning of their own. nullopt when it is none: an empty label, one of
/// more than 63 octets, more than 255 in all, or an escape that is none.
[[nodiscard]] std::optional<Name> parse_name(std::string_view text) noexcept;

/// An uncompressed name as parse_name() reads it, without a dot at its end unless it is the root's.
[[nodiscard]] std::string name_text(Octets name);

} // namespace dotproxy::dns
