// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// LimitsMemory: the memory in which all workers count what each source has had of late, and the
// secret that says where. It is the master's, for its life, like the counters: workers inherit it
// by fork, so neither a reload nor a worker's death lets anybody begin anew. Meter says what is in
// it.

#pragma once

#include "base/siphash.hh"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace dotproxy {

class LimitsMemory {
  public:
    static constexpr std::size_t words_per_line = 8;
    static constexpr std::size_t line_count = std::size_t{1} << 14U;

    /// The words of one cache line. Those that nobody has ever written are 0.
    struct alignas(64) Line {
        std::array<std::atomic<std::uint64_t>, words_per_line> words;
    };

    static_assert(std::atomic<std::uint64_t>::is_always_lock_free); // no lock for the dead to hold
    static_assert(sizeof(Line) == 64);

    /// All zero; 1 MiB, whose pages are the kernel's until they are touched, and in no core file.
    /// Throws std::system_error when there is no memory or no randomness.
    LimitsMemory();
    LimitsMemory(const LimitsMemory&) = delete;
    LimitsMemory& operator=(const LimitsMemory&) = delete;
    ~LimitsMemory();

    [[nodiscard]] std::span<Line, line_count> lines() const noexcept {
        return std::span<Line, line_count>{lines_, line_count};
    }

    /// Says in which line a source is counted. Drawn anew by each object.
    [[nodiscard]] const SipHash& hash() const noexcept { return hash_; }

  private:
    SipHash hash_;
    Line* lines_;
};

} // namespace dotproxy
