// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Offenders: who is over a limit, in memory that all processes share (limits 20). Workers write it,
// only when somebody is; the master reads it, and believes nothing of it that it can know itself. A
// worker may be killed in the middle of an entry, which then fails its check.

#pragma once

#include "base/clock.hh"
#include "base/prefix.hh"
#include "base/siphash.hh"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dotproxy {

/// What somebody has too much of.
enum class Offence : std::uint8_t {
    question,   // over UDP, by whoever uses the address
    miss,       // asked upstream
    connection, // of TCP
    count_
};

/// What is known of an offender: as many of these are kept apart.
struct Culprit {
    Prefix prefix;
    Offence offence{Offence::question};
    bool verified{false}; // the address is its own
    double limit{0};      // units a second

    friend bool operator==(const Culprit&, const Culprit&) noexcept = default;
};

struct Offender {
    Culprit culprit;
    std::uint64_t over{0}; // units it was refused since it stands here
    TimePoint since;
    TimePoint last;
};

class Offenders {
  public:
    static constexpr std::size_t capacity = 256;

    /// None yet. `hash` says where each stands, so that nobody can choose that. Throws
    /// std::system_error when there is no memory.
    explicit Offenders(const SipHash& hash);
    Offenders(const Offenders&) = delete;
    Offenders& operator=(const Offenders&) = delete;
    ~Offenders();

    /// It was refused one more. Where there is no room, those who were quiet longest make some; if
    /// nobody was, nothing is noted. true: nobody has told the master that there is something to
    /// look at, and the caller has to.
    [[nodiscard]] bool note(const Culprit& culprit, TimePoint now) const noexcept;

    /// All whose entries are whole; in no order.
    [[nodiscard]] std::vector<Offender> all() const;

    /// Whether note() has written something since be_told() was called.
    [[nodiscard]] bool told() const noexcept;
    /// The next note() is to be told of again.
    void be_told() const noexcept;

  private:
    struct Entry;
    struct Memory;

    [[nodiscard]] std::uint64_t check(std::uint64_t high, std::uint64_t low, std::uint64_t what,
                                      std::uint64_t limit) const noexcept;
    [[nodiscard]] Entry* find(std::uint64_t check, TimePoint now) const noexcept;

    SipHash hash_;
    Memory* memory_;
};

} // namespace dotproxy
