// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// RDATA: whether it can be its type's, and where names stand in it; for this room alone. Looks at
// its form, not at what it says.

#pragma once

#include "dns/record.hh"
#include "dns/wire.hh"

#include <array>
#include <cstddef>
#include <optional>

namespace dotproxy::dns {

/// Whether the RDATA of `record`, which lies within `message`, has the form that its type
/// prescribes, to the last octet: the types of RFC 1035 and the later ones that stubs use. Those
/// that belong to the Internet are looked at in class IN alone. Whatever else there is has no form
/// that we know, and is sound (RFC 3597; C21). Names may be compressed in any type.
[[nodiscard]] bool is_rdata_sound(Octets message, const Record& record) noexcept;

/// A record has no more names in its RDATA.
constexpr std::size_t max_rdata_names = 2;

/// Where the names in RDATA stand, in their order.
struct RdataNames {
    std::array<std::size_t, max_rdata_names> at{}; // [0, count) is meaningful
    std::size_t count{0};
};

/// The names in the RDATA of `record`, which was found to be sound; none in a type that is not
/// known, where nobody may compress them (RFC 3597, section 4). nullopt: the type is known, but not
/// in this class, and there may be names that were compressed.
[[nodiscard]] std::optional<RdataNames> names_in(Octets message, const Record& record) noexcept;

} // namespace dotproxy::dns
