// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Whether an answer section answers its question (L82), for this room alone.

#pragma once

#include "dns/query.hh"
#include "dns/wire.hh"

#include <cstddef>
#include <cstdint>

namespace dotproxy::dns {

/// Links from alias to alias that an answer may have.
constexpr std::size_t max_links = 16;

/// Whether each of the `count` records at `at` belongs to the answer to `asked`: its owner is QNAME
/// or is reached from there by CNAME and DNAME records among them, in whatever order they stand,
/// and it has the type and class asked for or is one of those aliases or a signature. The records
/// have been walked before, and `message` holds the question `asked`.
[[nodiscard]] bool answers(Octets message, const Question& asked, std::size_t at,
                           std::size_t count) noexcept;

} // namespace dotproxy::dns
