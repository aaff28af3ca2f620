// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Penalties: who is blocked, since when and for how long (limits 19 to 24). It decides, and carries
// nothing out: what is to be done follows from blocks(), and what is to be logged from
// take_lines(). All times are given to it.

#pragma once

#include "base/clock.hh"
#include "base/prefix.hh"
#include "shared/offenders.hh"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dotproxy {

/// Whom nothing can have blocked, whatever workers or administrators say (limits 23).
struct Untouchables {
    std::vector<Prefix> own;       // addresses of this machine
    std::vector<Prefix> upstreams; // their addresses
    std::vector<Prefix> proxies;   // who asks for others, and is trusted to say for whom
    PrefixMap<double> networks;    // limits.networks: those with factor 0

    /// Why nothing of a prefix may be blocked; nullptr: it may.
    [[nodiscard]] const char* reason(const Prefix& prefix) const noexcept;
};

struct Block {
    Prefix prefix;
    std::optional<Offence> offence; // nullopt: an administrator wants it
    bool entire{true};              // else UDP questions alone, which may be somebody else's
    double rate{0};                 // units a second that it was refused, before it was blocked,
    double limit{0};                // and how many it may have
    TimePoint since{};
    TimePoint until{};
    std::uint64_t dropped_before{0}; // of the whole service
    bool alone{true};                // no other one was there at the same time

    /// Whether it holds for what is known of an address of `prefix`.
    [[nodiscard]] bool covers(const Prefix& other, bool verified) const noexcept {
        return prefix.contains(other) && (entire || !verified);
    }
};

/// What an offender is like now.
struct Suspect {
    Culprit culprit;
    std::uint64_t over{0};
    TimePoint looked_at{};
    double rate{0};      // units a second that it is refused
    unsigned seconds{0}; // in a row with ten times its limit
    bool seen{true};
};

class Penalties {
  public:
    static constexpr std::size_t capacity = 256;                      // blocks at a time
    static constexpr Clock::duration longest = std::chrono::hours{1}; // one that is not asked for
    static constexpr Clock::duration between_looks = std::chrono::seconds{1};

    /// When something happens, and what has become of all datagrams by then.
    struct Moment {
        TimePoint now;
        std::uint64_t dropped{0}; // by the kernel, for blocks
        std::uint64_t read{0};
        std::uint64_t lost{0}; // since the kernel had no room for them
    };

    /// How to decide.
    struct Terms {
        Clock::duration block_time; // of a first block; 0: nobody is blocked
        bool counts_only;           // nothing is done about it
        const Untouchables& untouchables;
    };

    /// Looks at who is over a limit; to be called once a second, and at most so often. Returns
    /// whether there is something to look at in a second.
    bool look(std::span<const Offender> offenders, const Moment& moment, const Terms& terms);

    /// Ends blocks whose time is over.
    void expire(const Moment& moment);

    /// Blocks a prefix because somebody says so, in place of what there is of it. Returns what
    /// speaks against it; nullptr: it is done.
    [[nodiscard]] const char* block(const Prefix& prefix, Clock::duration time,
                                    const Moment& moment, const Terms& terms);

    /// Ends the block of a prefix, and forgets that there was one; false: there is none.
    [[nodiscard]] bool unblock(const Prefix& prefix, const Moment& moment);

    /// Ends those that are not allowed any more: addresses and configurations change.
    void spare(const Moment& moment, const Terms& terms);

    /// When expire() or take_lines() has something to do; max(): nothing.
    [[nodiscard]] TimePoint nearest() const noexcept;

    /// In the order in which they began.
    [[nodiscard]] const std::vector<Block>& blocks() const noexcept { return blocks_; }

    /// The worst first: who is refused most, for what it may have.
    [[nodiscard]] std::vector<Suspect> suspects() const;

    [[nodiscard]] std::size_t suspect_count() const noexcept { return suspects_.size(); }

    /// How often blocks() has changed.
    [[nodiscard]] std::uint64_t version() const noexcept { return version_; }

    /// How many blocks there were because of offences.
    [[nodiscard]] std::uint64_t begun() const noexcept { return begun_; }

    /// What is to be logged: ten lines a minute, and one for how many were left out (limits 24).
    [[nodiscard]] std::vector<std::string> take_lines(TimePoint now);

  private:
    /// A block that has ended.
    struct Past {
        Clock::duration length;
        TimePoint until;
    };

    void update(std::span<const Offender> offenders, const Moment& moment);
    [[nodiscard]] double sent_for_one_read(const Moment& moment) const noexcept;
    void punish(Suspect& suspect, const Moment& moment, const Terms& terms);
    void begin(Block block, const Moment& moment, bool counts_only);
    void end(std::size_t index, const Moment& moment, const char* why);
    [[nodiscard]] Clock::duration length_of(const Prefix& prefix, TimePoint now,
                                            Clock::duration first) const;
    [[nodiscard]] bool is_blocked(const Culprit& culprit) const noexcept;
    void say(std::string line);

    std::vector<Block> blocks_;
    std::vector<Suspect> suspects_;
    std::map<std::string, Past, std::less<>> past_; // by the prefix as text
    std::vector<std::string> lines_;
    std::optional<Moment> last_look_;
    std::uint64_t version_{0};
    std::uint64_t begun_{0};
    TimePoint minute_began_{TimePoint::min()};
    unsigned said_{0}; // in that minute
    std::uint64_t left_unsaid_{0};
    bool counts_only_{false};
};

/// A rate or a limit as a whole number, whatever number a worker has written.
[[nodiscard]] std::string number_text(double number);

/// What somebody has too much of, in a word: "questions", "misses", "connections".
[[nodiscard]] const char* name_of(Offence offence) noexcept;

} // namespace dotproxy
