// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// FailedNames: the names that an upstream failed to answer lately: which one had an answer, and
// what was learnt of the reason. An entry may make way for another one: then more is asked than
// would have to be.

#pragma once

#include "base/clock.hh"
#include "base/siphash.hh"
#include "dns/name.hh"

#include <cstdint>
#include <optional>
#include <vector>

namespace dotproxy {

class FailedNames {
  public:
    /// What asking with checking disabled (CD) showed.
    enum class Check : std::uint8_t {
        unknown, // not lately
        failed,  // that fails, too
        bogus,   // that is answered: validation had failed
    };

    /// For so long something is known of a name.
    static constexpr Clock::duration lately = std::chrono::minutes{1};

    /// Throws std::system_error when the system has no randomness.
    FailedNames() = default;

    /// The rank of the upstream that answered where another one had failed.
    [[nodiscard]] std::optional<unsigned> answered_by(const dns::Name& name,
                                                      TimePoint now) const noexcept;
    /// What became of the last check at the upstream of `rank`.
    [[nodiscard]] Check checked(const dns::Name& name, unsigned rank, TimePoint now) const noexcept;

    void note_answer(const dns::Name& name, unsigned rank, TimePoint now) noexcept;
    void note_check(const dns::Name& name, unsigned rank, Check check, TimePoint now) noexcept;
    /// Whoever is asked first had the answer.
    void forget(const dns::Name& name) noexcept;

  private:
    struct Entry {
        std::uint64_t hash{0};
        TimePoint until{TimePoint::min()};
        std::optional<std::uint8_t> answered_by;
        std::uint8_t checked_at{0};
        Check check{Check::unknown};
    };

    /// A power of two. What is forgotten costs a question or two, so there need not be many.
    static constexpr std::size_t capacity = 1024;

    [[nodiscard]] const Entry* find(const dns::Name& name, TimePoint now) const noexcept;
    [[nodiscard]] Entry& renew(const dns::Name& name, TimePoint now) noexcept;

    SipHash hash_{SipHash::draw_key()};
    std::vector<Entry> entries_;             // each where its hash says; none before the first
    TimePoint last_until_{TimePoint::min()}; // nothing is known after
};

} // namespace dotproxy
