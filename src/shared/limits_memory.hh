// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// LimitsMemory: the memory in which all workers count what each source has had of late, the secret
// that says where, who is over a limit, and who is blocked for it. It is the master's, for its
// life, like the counters: workers inherit it by fork, so neither a reload nor a worker's death
// lets anybody begin anew. Meter says what is in its lines.

#pragma once

#include "base/siphash.hh"
#include "shared/offenders.hh"
#include "shared/prefix_list.hh"

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

    /// Who is over a limit, as workers tell.
    [[nodiscard]] const Offenders& offenders() const noexcept { return offenders_; }

    /// Whom the master has blocked: with all that comes from there, and,
    [[nodiscard]] PrefixList& blocked() noexcept { return blocked_; }

    [[nodiscard]] const PrefixList& blocked() const noexcept { return blocked_; }

    /// where it may be somebody else who uses the address, with UDP questions alone.
    [[nodiscard]] PrefixList& blocked_unverified() noexcept { return blocked_unverified_; }

    [[nodiscard]] const PrefixList& blocked_unverified() const noexcept {
        return blocked_unverified_;
    }

  private:
    SipHash hash_;
    Offenders offenders_{hash_};
    PrefixList blocked_;
    PrefixList blocked_unverified_;
    Line* lines_;
};

} // namespace dotproxy
