// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Sources by number, a clock that stands where it is set, and who shares a line with whom, for the
// tests of Meter.

#pragma once

#include "shared/meter.hh"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace dotproxy::test {

using Line = LimitsMemory::Line;
using LineWords = std::array<std::uint64_t, LimitsMemory::words_per_line>;

/// IPv4 address number `source`.
inline Budget budget_of(std::uint32_t source, const Rate& rate, std::uint8_t kind = 0) noexcept {
    return {Prefix{{0, 0xffff'0000'0000U | source}, Prefix::host_length}, kind, rate};
}

inline LineWords words_of(const Line& line) noexcept {
    LineWords words{};
    std::ranges::transform(line.words, words.begin(), [](const auto& word) { return word.load(); });
    return words;
}

inline void set_all(const LimitsMemory& memory, std::uint64_t value) noexcept {
    for (Line& line : memory.lines()) {
        for (auto& word : line.words) {
            word = value;
        }
    }
}

/// The part of a source's hash that stands in its word.
inline std::uint64_t tag_of(std::uint64_t word) noexcept {
    return word >> 44U;
}

/// Some `count` sources that share `line`, and no word there; for each of them, 16,384 are tried.
/// Clears all.
inline std::vector<std::uint32_t> sources_in(const LimitsMemory& memory, Line& line,
                                             std::size_t count) {
    Meter meter{memory};
    std::vector<std::uint32_t> sources;
    std::vector<std::uint64_t> tags;
    const Rate rate = Rate::of(1000, longest_debt);
    const TimePoint now{std::chrono::hours{1}};
    for (std::uint32_t i = 1; sources.size() < count; ++i) {
        (void)meter.charge(std::array{budget_of(i, rate)}, now);
        const std::uint64_t word = line.words[0].exchange(0);
        if (word != 0 && std::ranges::find(tags, tag_of(word)) == tags.end()) {
            sources.push_back(i);
            tags.push_back(tag_of(word));
        }
    }
    set_all(memory, 0);
    return sources;
}

/// Whether it has one unit of one budget.
inline bool passes(Meter& meter, const Budget& budget, TimePoint now) noexcept {
    return meter.charge({&budget, 1}, now).passed();
}

/// How many of `tries` it has.
inline std::uint64_t passed(Meter& meter, const Budget& budget, TimePoint now,
                            std::uint64_t tries) noexcept {
    std::uint64_t count = 0;
    for (std::uint64_t i = 0; i < tries; ++i) {
        count += passes(meter, budget, now) ? 1U : 0U;
    }
    return count;
}

} // namespace dotproxy::test
