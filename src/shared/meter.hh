// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Meter: how much each source has had of late, in memory that all workers share. What it has had it
// owes, time pays, and who would owe more than a burst gets nothing: an exact token bucket (GCRA)
// in one word for each source. It knows neither what is counted nor how sources are divided: that
// is the caller's, who names budgets.
//
// A word is the time until which its source has paid for what it had, and 20 bits of its hash, by
// which it is known in its line of eight. A new one takes the word that owes least, which is mostly
// one that owes nothing, and begins with its own cost: who owes most is never forgotten for others,
// and nobody inherits what others owe, however many there are. The whole of a charge is one
// compare-and-swap, so who dies anywhere leaves nothing to repair.

#pragma once

#include "base/clock.hh"
#include "base/prefix.hh"
#include "shared/limits_memory.hh"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ratio>
#include <span>

namespace dotproxy {

/// What is owed, as the time that pays for it. In whole microseconds a rate of 700,000 a second
/// would be one of a million; in these every one is exact to 1 %.
using Debt = std::chrono::duration<std::int64_t, std::ratio<1, 64'000'000>>;

/// No source owes more, whatever it had: so long after its last question at most it is let in.
constexpr Debt longest_debt = std::chrono::seconds{20};

/// How much a budget has: burst / cost units at once, and one more each `cost`.
struct Rate {
    Debt cost;  // of a unit
    Debt burst; // cost to longest_debt

    /// From one unit in longest_debt to a million a second, which are its bounds if it is beyond
    /// them, and so is `burst`, which has room for one unit at least.
    [[nodiscard]] static Rate of(double units_per_second, Debt burst) noexcept;
};

/// Whose, of what, and how much. Budgets of one prefix and of different kinds are apart.
struct Budget {
    Prefix prefix;
    std::uint8_t kind;
    Rate rate;
};

/// Whether all budgets had what was asked of them.
struct Verdict {
    const Budget* over{nullptr}; // the first one that had not; nullptr: all had
    Debt by{0};                  // how much more than its burst it would owe

    [[nodiscard]] bool passed() const noexcept { return over == nullptr; }
};

/// One process's view. Times are of a clock that all processes have in common, and may be a turn
/// apart or go back: then somebody owes so much more or less. Nothing here fails or allocates.
class Meter {
  public:
    /// In one call. Each is a cache line that is likely far away.
    static constexpr std::size_t most_budgets = 4;

    /// `memory` must outlive it.
    explicit Meter(const LimitsMemory& memory) noexcept
        : lines_{memory.lines()}, hash_{memory.hash()} {}

    /// Takes `units` of each budget, or, when one has not as many, of none: who is refused owes no
    /// more for that. Nobody is ever given more units at once than a burst has.
    [[nodiscard]] Verdict charge(std::span<const Budget> budgets, TimePoint now,
                                 std::uint32_t units = 1) noexcept;

    /// What charge() would say. Takes nothing.
    [[nodiscard]] Verdict look(std::span<const Budget> budgets, TimePoint now,
                               std::uint32_t units = 1) const noexcept;

    /// Takes `units` of each budget whether it has them or not, for what turned out dearer than it
    /// was thought to be. Nobody comes to owe more than longest_debt.
    void debit(std::span<const Budget> budgets, TimePoint now, std::uint32_t units) noexcept;

    /// What is owed in this budget; over its burst only after debit().
    [[nodiscard]] Debt debt(const Budget& budget, TimePoint now) const noexcept;

  private:
    using Word = std::atomic<std::uint64_t>;

    /// Where a budget is counted, how it is known there, and the word that is its own, or shall
    /// be, as it was when it was read.
    struct Account {
        LimitsMemory::Line* line;
        std::uint64_t tag;
        Word* word;
        std::uint64_t seen;
        Debt debt;
    };

    using Accounts = std::array<Account, most_budgets>;

    void locate(const Budget& budget, Account& account) const noexcept;
    void locate(std::span<const Budget> budgets, Accounts& accounts) const noexcept;
    [[nodiscard]] static Verdict read(std::span<const Budget> budgets, Accounts& accounts,
                                      std::uint64_t now, std::uint32_t units) noexcept;
    static void read(Account& account, std::uint64_t now) noexcept;
    static void owe(Account& account, Debt more, std::uint64_t now) noexcept;

    std::span<LimitsMemory::Line, LimitsMemory::line_count> lines_;
    SipHash hash_;
};

} // namespace dotproxy
