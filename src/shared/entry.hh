// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Entry: what the cache stores under a key; and how it stands in the ring of a shard. That is three
// words of 8 octets, then the key, the value and what fills the last word:
//
//     0  position (48 bits) | words of the entry (16)
//     1  stored_at (48)     | zero (4) | octets of the key (9) | octets that fill the last word (3)
//     2  check (32)         | ttl (32)

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace dotproxy {

/// An entry as copied from the ring, its octets valid until the next call on any shard view with
/// the same buffer.
struct Entry {
    std::span<const std::uint8_t> key;
    std::span<std::uint8_t> value; // the caller may change it
    std::uint64_t stored_at{0};    // milliseconds of the caller's clock
    std::uint32_t ttl{0};          // seconds

    /// Milliseconds of the same clock.
    [[nodiscard]] std::uint64_t expires_at() const noexcept {
        return stored_at + std::uint64_t{ttl} * 1000;
    }
};

/// Room for one entry, on which all shards of a process take turns.
using EntryBuffer = std::array<std::uint64_t, 12288>;

namespace entry_words {

constexpr std::size_t header_words = 3;
constexpr unsigned position_shift = 16;
constexpr std::uint64_t size_mask = 0xffff;
constexpr std::size_t max_key = 511; // octets

/// How many words an entry takes.
[[nodiscard]] std::uint64_t words_for(const Entry& entry) noexcept;

/// Writes an entry to as many words as it takes. Its key is no longer than max_key. seal() is left.
void encode(const Entry& entry, std::span<std::uint64_t> words) noexcept;

/// Writes where in the ring the entry stands, and its check.
void seal(std::span<std::uint64_t> words, std::uint64_t position) noexcept;

/// The entry in a private copy of words, header_words at least, which may hold anything; it borrows
/// from them. Nothing when they are not what seal() left.
[[nodiscard]] std::optional<Entry> decode(std::span<std::uint64_t> words) noexcept;

} // namespace entry_words

} // namespace dotproxy
