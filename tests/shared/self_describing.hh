// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Entries that say themselves what they must be: a value names its key, its version and its size,
// and all other octets follow from these. Whoever finds one sees whether it is some complete
// insertion, to the octet, without knowing which insertions there were.

#pragma once

#include "shared/shard.hh"

#include <algorithm>
#include <cstring>
#include <vector>

namespace dotproxy::test {

using Octets = std::vector<std::uint8_t>;

/// SplitMix64: the next of a row of numbers.
inline std::uint64_t draw(std::uint64_t& state) noexcept {
    state += 0x9e3779b97f4a7c15U;
    std::uint64_t number = state;
    number = (number ^ number >> 30U) * 0xbf58476d1ce4e5b9U;
    number = (number ^ number >> 27U) * 0x94d049bb133111ebU;
    return number ^ number >> 31U;
}

/// The octets of key `number`, at least 8 of them.
inline Octets key_of(std::uint64_t number, std::size_t size = 8) {
    Octets key(std::max(size, sizeof number), 'k');
    for (std::size_t i = 0; i < sizeof number; ++i) {
        key[i] = static_cast<std::uint8_t>(number >> 8 * i);
    }
    return key;
}

struct ValueHead {
    std::uint64_t number;
    std::uint32_t version;
    std::uint32_t size;
};

/// Version `version` of the value under key `number`, at least sizeof(ValueHead) octets.
inline Octets value_of(std::uint64_t number, std::uint32_t version, std::size_t size) {
    const ValueHead head{number, version, static_cast<std::uint32_t>(size)};
    Octets value(size);
    std::memcpy(value.data(), &head, sizeof head);
    std::uint64_t state = number << 32U ^ version;
    for (std::size_t i = sizeof head; i < size; ++i) {
        value[i] = static_cast<std::uint8_t>(draw(state));
    }
    return value;
}

/// When version `version` of anything is stored.
constexpr std::uint64_t stored_at(std::uint32_t version) noexcept {
    return 1'000'000 + std::uint64_t{version};
}

/// An entry whose octets live as long as this does.
struct Sample {
    Octets key;
    Octets value;
    std::uint32_t version;

    Sample(std::uint64_t number, std::uint32_t version_, std::size_t size, std::size_t key_size = 8)
        : key{key_of(number, key_size)}, value{value_of(number, version_, size)}, version{
                                                                                      version_} {}

    [[nodiscard]] Entry entry() noexcept {
        return {.key = key, .value = value, .stored_at = stored_at(version), .ttl = version};
    }
};

/// The version of what was found under `key`, or -1 if it is not what was once inserted there.
inline std::int64_t version_of(const Entry& found, std::span<const std::uint8_t> key) noexcept {
    ValueHead head{};
    std::uint64_t number = 0;
    for (std::size_t i = sizeof number; i > 0; --i) {
        number = number << 8U | key[i - 1];
    }
    if (!std::ranges::equal(found.key, key) || found.value.size() < sizeof head) {
        return -1;
    }
    std::memcpy(&head, found.value.data(), sizeof head);
    if (head.number != number || head.size != found.value.size() || head.version != found.ttl ||
        found.stored_at != stored_at(head.version)) {
        return -1;
    }
    std::uint64_t state = number << 32U ^ head.version;
    for (std::size_t i = sizeof head; i < found.value.size(); ++i) {
        if (found.value[i] != static_cast<std::uint8_t>(draw(state))) {
            return -1;
        }
    }
    return head.version;
}

} // namespace dotproxy::test
