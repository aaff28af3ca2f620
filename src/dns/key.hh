// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A question as a string of octets: what is hashed and compared wherever questions are looked up.
// Equal questions have equal keys and no others have (C80, L19), and a key is all that is needed to
// ask its question again (C91, L21).

#pragma once

#include "dns/query.hh"
#include "dns/wire.hh"

#include <cstddef>
#include <optional>

namespace dotproxy::dns {

/// Octets of a key behind its name: type, class, group, and the flags in one.
constexpr std::size_t key_fixed_size = 6;

/// The largest key there is.
constexpr std::size_t max_key_size = max_name_size + key_fixed_size;

/// Writes the key of `question`. Returns its size. `out` holds at least max_key_size octets.
[[nodiscard]] std::size_t put_key(const Question& question, MutableOctets out) noexcept;

/// The question that put_key() made this key of; nullopt for octets that it makes of none, whatever
/// they are: they may come from memory that somebody else writes to.
[[nodiscard]] std::optional<Question> read_key(Octets key) noexcept;

} // namespace dotproxy::dns
