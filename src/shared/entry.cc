// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/entry.hh"

#include <algorithm>
#include <bit>

namespace dotproxy::entry_words {

namespace {

constexpr unsigned filling_bits = 3;

// Against what was scribbled by accident; who can choose what stands in this memory can do worse.
std::uint32_t check_of(std::span<const std::uint64_t> words) noexcept {
    constexpr std::uint64_t multiplier = 0x9e3779b97f4a7c15U;
    std::uint64_t sum = multiplier;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::uint64_t word = i == 2 ? words[i] & 0xffffffffU : words[i];
        sum = (std::rotl(sum, 23) ^ word) * multiplier;
    }
    return static_cast<std::uint32_t>(sum >> 32U);
}

} // namespace

void seal(std::span<std::uint64_t> words, std::uint64_t position) noexcept {
    words[0] = position << position_shift | words.size();
    words[2] = std::uint64_t{check_of(words)} << 32U | (words[2] & 0xffffffffU);
}

std::uint64_t words_for(const Entry& entry) noexcept {
    return header_words + (entry.key.size() + entry.value.size() + 7) / 8;
}

void encode(const Entry& entry, std::span<std::uint64_t> words) noexcept {
    const std::size_t room = (words.size() - header_words) * 8;
    const std::size_t filling = room - entry.key.size() - entry.value.size();
    words[1] = entry.stored_at << position_shift | entry.key.size() << filling_bits | filling;
    words.back() = 0; // before the rest: without key and value it is the ttl's
    words[2] = entry.ttl;
    auto* octets = reinterpret_cast<std::uint8_t*>(words.data() + header_words);
    std::ranges::copy(entry.key, octets);
    std::ranges::copy(entry.value, octets + entry.key.size());
}

// The words are a private copy, which may hold anything.
std::optional<Entry> decode(std::span<std::uint64_t> words) noexcept {
    const std::size_t room = (words.size() - header_words) * 8;
    const std::size_t filling = words[1] & ((1U << filling_bits) - 1);
    const std::size_t key_size = (words[1] & size_mask) >> filling_bits;
    if (words[2] >> 32U != check_of(words) || key_size + filling > room || key_size > max_key) {
        return std::nullopt;
    }
    const std::span octets{reinterpret_cast<std::uint8_t*>(words.data() + header_words),
                           room - filling};
    return Entry{.key = octets.first(key_size),
                 .value = octets.subspan(key_size),
                 .stored_at = words[1] >> position_shift,
                 .ttl = static_cast<std::uint32_t>(words[2])};
}

} // namespace dotproxy::entry_words
