// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A word: the tag in the upper 20 bits, and below them the lower 44 of the time, in units of Debt,
// until which all is paid. They come around every 76 hours.

#include "shared/meter.hh"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace dotproxy {

namespace {

constexpr unsigned time_bits = 44;
constexpr std::uint64_t time_mask = (std::uint64_t{1} << time_bits) - 1;

// What is owed beyond this was written before the times came around, or by nobody. Other processes'
// clocks may be behind by less.
constexpr std::uint64_t credible = (longest_debt + std::chrono::seconds{1}).count();

// A word that others change each time it is looked at is a source that they charge.
constexpr int most_attempts = 4;

constexpr double slowest = 1 / std::chrono::duration<double>{longest_debt}.count();
constexpr double fastest = 1'000'000;

std::uint64_t ticks(TimePoint time) noexcept {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<Debt>(time.time_since_epoch()).count());
}

Debt owed(std::uint64_t word, std::uint64_t now) noexcept {
    const std::uint64_t debt = (word - now) & time_mask;
    return Debt{word == 0 || debt > credible ? 0 : static_cast<std::int64_t>(debt)};
}

/// Which of a line's words owes least.
std::size_t least(const std::array<std::uint64_t, LimitsMemory::words_per_line>& words,
                  std::uint64_t now) noexcept {
    const auto owes = [now](std::uint64_t word) { return owed(word, now); };
    return static_cast<std::size_t>(std::ranges::min_element(words, {}, owes) - words.begin());
}

} // namespace

Rate Rate::of(double units_per_second, Debt burst) noexcept {
    const double per_second = std::clamp(units_per_second, slowest, fastest);
    const auto cost = std::chrono::round<Debt>(std::chrono::duration<double>{1 / per_second});
    return {.cost = cost, .burst = std::clamp(burst, cost, longest_debt)};
}

Verdict Meter::charge(std::span<const Budget> budgets, TimePoint now,
                      std::uint32_t units) noexcept {
    Accounts accounts; // NOLINT(*-member-init): what is used is written
    locate(budgets, accounts);
    const std::uint64_t time = ticks(now);
    const Verdict verdict = read(budgets, accounts, time, units);
    for (std::size_t i = 0; verdict.passed() && i < budgets.size(); ++i) {
        owe(accounts[i], budgets[i].rate.cost * units, time);
    }
    return verdict;
}

Verdict Meter::look(std::span<const Budget> budgets, TimePoint now,
                    std::uint32_t units) const noexcept {
    Accounts accounts; // NOLINT(*-member-init): what is used is written
    locate(budgets, accounts);
    return read(budgets, accounts, ticks(now), units);
}

void Meter::debit(std::span<const Budget> budgets, TimePoint now, std::uint32_t units) noexcept {
    Accounts accounts; // NOLINT(*-member-init): what is used is written
    locate(budgets, accounts);
    const std::uint64_t time = ticks(now);
    for (std::size_t i = 0; i < budgets.size(); ++i) {
        read(accounts[i], time);
        owe(accounts[i], budgets[i].rate.cost * units, time);
    }
}

Debt Meter::debt(const Budget& budget, TimePoint now) const noexcept {
    Account account; // NOLINT(*-member-init): written here
    locate(budget, account);
    read(account, ticks(now));
    return account.debt;
}

void Meter::locate(const Budget& budget, Account& account) const noexcept {
    const AddressBits& bits = budget.prefix.bits();
    std::array<std::uint8_t, sizeof bits + 2> octets; // NOLINT(*-member-init): all are written
    static_assert(sizeof bits == 16);
    std::memcpy(octets.data(), &bits, sizeof bits);
    octets[16] = static_cast<std::uint8_t>(budget.prefix.length());
    octets[17] = budget.kind;
    const std::uint64_t hash = hash_(octets);
    account.line = &lines_[hash % lines_.size()];
    account.tag = hash >> time_bits;
    __builtin_prefetch(account.line, 1);
}

/// All of them before any is read: their lines are fetched at the same time.
void Meter::locate(std::span<const Budget> budgets, Accounts& accounts) const noexcept {
    assert(budgets.size() <= most_budgets);
    for (std::size_t i = 0; i < budgets.size(); ++i) {
        locate(budgets[i], accounts[i]);
    }
}

Verdict Meter::read(std::span<const Budget> budgets, Accounts& accounts, std::uint64_t now,
                    std::uint32_t units) noexcept {
    for (std::size_t i = 0; i < budgets.size(); ++i) {
        read(accounts[i], now);
        const Debt debt = accounts[i].debt + budgets[i].rate.cost * units;
        if (debt > budgets[i].rate.burst) {
            return {.over = &budgets[i], .by = debt - budgets[i].rate.burst};
        }
    }
    return {};
}

/// The word of this tag, or the one that owes least, as if it owed nothing.
void Meter::read(Account& account, std::uint64_t now) noexcept {
    std::array<std::uint64_t, LimitsMemory::words_per_line> seen; // NOLINT(*-member-init): written
    std::size_t index = 0;
    for (; index < seen.size(); ++index) {
        seen[index] = account.line->words[index].load(std::memory_order_relaxed);
        if (seen[index] >> time_bits == account.tag) {
            break;
        }
    }
    account.debt = Debt{0};
    if (index < seen.size()) {
        account.debt = owed(seen[index], now);
    } else {
        index = least(seen, now);
    }
    account.word = &account.line->words[index];
    account.seen = seen[index];
}

/// Two processes may give a new source a word each: the first one counts, and the other expires.
void Meter::owe(Account& account, Debt more, std::uint64_t now) noexcept {
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        const Debt debt = std::min(account.debt + more, longest_debt);
        const std::uint64_t paid = now + static_cast<std::uint64_t>(debt.count());
        const std::uint64_t word = account.tag << time_bits | (paid & time_mask);
        if (account.word->compare_exchange_strong(account.seen, word, std::memory_order_relaxed)) {
            return;
        }
        read(account, now);
    }
}

} // namespace dotproxy
