// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Turn: what everything in a worker shares. One turn of the loop is: wait, clock, dispatch, serve,
// expire, flush, bury, count; nothing calls back into its caller, outputs are queued and leave in
// the flush.

#pragma once

#include "base/clock.hh"
#include "base/loop.hh"
#include "base/undumped.hh"
#include "config/config.hh"
#include "shared/counters.hh"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace dotproxy {

/// What a turn may do for streams, of whatever kind: each of them may have as much to be done as it
/// likes, and all other sockets are read in between. It is a time, since one question costs a
/// hundred times of another one; the clock is read only where so much was done that it might be up.
class StreamBudget {
  public:
    /// Before the clock is read, so many questions are taken, or things that cost about as much.
    static constexpr unsigned look_every = 16;

    explicit StreamBudget(Clock::duration time) noexcept : time_{time}, limit_{time} {}

    /// So much was done.
    void charge(unsigned pieces = 1) noexcept {
        pieces_ += pieces;
        if (pieces_ >= look_every) {
            look();
        }
    }

    /// Whether it is used up: who has more waits for the next turn, and is the first one there.
    [[nodiscard]] bool spent() const noexcept { return spent_; }

    /// For the next turn; with a part of the time where `others_wait`, as when more was asked over
    /// UDP than is read in a turn: that takes a quarter of a millisecond.
    void renew(bool others_wait = false) noexcept {
        constexpr int part = 4;
        pieces_ = 0;
        begun_ = spent_ = false;
        limit_ = others_wait ? time_ / part : time_;
    }

  private:
    void look() noexcept;

    Clock::duration time_;
    Clock::duration limit_; // in this turn
    TimePoint start_{};     // of what was done for streams, not of the turn
    unsigned pieces_{0};
    bool begun_{false};
    bool spent_{false};
};

struct Turn {
    Turn(const Config& its_config, Counters& its_counters)
        : config{its_config}, counters{its_counters} {}

    const Config& config;
    Counters& counters;
    Loop loop;
    TimePoint now{Clock::now()}; // read once a turn, after the wait
    StreamBudget streams{std::chrono::milliseconds{1}};
    bool udp_waits{false}; // there was more to be read over UDP than a turn's part
    TimePoint overloaded_until{TimePoint::min()}; // more is asked over UDP than can be answered

    [[nodiscard]] bool overloaded() const noexcept { return now < overloaded_until; }

    /// An answer went out to who asked at `asked_at`, in this turn or an earlier one.
    void note(Outcome outcome, TimePoint asked_at) noexcept {
        if (asked_at == now) {
            ++answered_at_once_[static_cast<std::size_t>(outcome)];
        } else {
            note_late(outcome, asked_at);
        }
    }

    /// The turn is over. One look at the clock tells how long it took, and with it all that was
    /// answered at once.
    void end() noexcept;

    // For octets that are used up before the handler that read them returns.
    Undumped<std::array<std::uint8_t, 131072>> scratch; // as read from a socket
    Undumped<std::array<std::uint8_t, 16384>> plain;    // one TLS record, decrypted

  private:
    void note_late(Outcome outcome, TimePoint asked_at) noexcept;

    std::array<std::uint32_t, count_of<Outcome>> answered_at_once_{};
};

/// How long the rest of a worker's patience is, by what it waits for.
struct Patience {
    /// A client gets its SERVFAIL a little before a stub with the same time-out gives up.
    [[nodiscard]] static Clock::duration client(const Config& config) noexcept {
        return config.timeouts.query * 9 / 10;
    }

    /// What was sent so long ago, to an upstream that lives, is asked of another one as well.
    [[nodiscard]] static Clock::duration half(const Config& config) noexcept {
        return client(config) / 2;
    }

    /// The rest of an answer that was begun is waited for this long: there is time left to ask
    /// elsewhere, twice (L84).
    [[nodiscard]] static Clock::duration rest(const Config& config) noexcept {
        return config.timeouts.query / 5;
    }

    /// After this long without a sign of life, half of it after a probe, an upstream connection is
    /// no longer waited for (L31, L32). A second at least: a name takes its time (L80).
    [[nodiscard]] static Clock::duration silence(const Config& config) noexcept {
        return std::max<Clock::duration>(config.timeouts.query / 5, std::chrono::seconds{1});
    }
};

} // namespace dotproxy
