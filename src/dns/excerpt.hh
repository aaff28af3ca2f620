// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What is passed on of a response that has records beside its answer (RFC 2181, section 5.4.1).

#pragma once

#include "dns/answer.hh"
#include "dns/query.hh"
#include "dns/response.hh"
#include "dns/wire.hh"

#include <optional>

namespace dotproxy::dns {

/// The answer of `message`, which was found to be mixed as `response` to `asked`, without the
/// records that made it so. Its records are written to `room` and borrowed from there; it needs
/// max_message_size octets. nullopt when they are too much for a message, since names that were
/// compressed may have to be spelled out; or where names may stand that nobody knows the places of.
[[nodiscard]] std::optional<Answer> excerpt_of(Octets message, const Response& response,
                                               const Question& asked, MutableOctets room) noexcept;

} // namespace dotproxy::dns
