// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// WorkerSlot: the place of one worker in a generation: its process, and when a new one may take the
// place of one that died.

#pragma once

#include "base/clock.hh"
#include "base/fd.hh"
#include "shared/counted.hh"
#include "worker/worker.hh"

#include <string>
#include <sys/types.h>

namespace dotproxy {

/// empty -> starting -> ready -> empty ...; hopeless is the end.
class WorkerSlot {
  public:
    enum class State : std::uint8_t {
        empty,    // no process; one may be started from respawn_at() on
        starting, // forked, has not said READY
        ready,
        hopeless, // it said that it cannot work with this configuration
    };

    explicit WorkerSlot(unsigned index) noexcept : index_{index} {}

    /// A process was forked for it.
    void born(pid_t pid, Fd control, TimePoint now) noexcept;
    /// It said something.
    void heard(Report report) noexcept;
    /// Its process ended with this wait status. A worker that dies again and again, or before it
    /// was ready, is replaced later and later: from at once to 30 s (L60).
    void died(int status, TimePoint now) noexcept;
    /// There was no process to be had.
    void not_born(TimePoint now) noexcept;

    /// Sends an order; lost when the worker is dead, which its end tells anyway.
    void tell(Order order) const noexcept;
    /// Asks for a sign of life.
    void ping() noexcept;
    void kill(int signal) noexcept;

    /// For a process that was just forked: closes what belongs to the master.
    void close() noexcept { control_.reset(); }

    [[nodiscard]] unsigned index() const noexcept { return index_; }

    [[nodiscard]] State state() const noexcept { return state_; }

    [[nodiscard]] bool alive() const noexcept { return pid_ > 0; }

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    [[nodiscard]] int control() const noexcept { return control_.get(); }

    /// When its process was forked; meaningful while it is alive.
    [[nodiscard]] TimePoint born_at() const noexcept { return born_at_; }

    /// How many processes have followed the first one.
    [[nodiscard]] unsigned restarts() const noexcept { return births_ > 0 ? births_ - 1 : 0; }

    [[nodiscard]] TimePoint respawn_at() const noexcept { return respawn_at_; }

    /// How many pings have gone by without a sign of life.
    [[nodiscard]] unsigned unanswered() const noexcept { return unanswered_; }

    /// So many that there is none.
    [[nodiscard]] bool hangs() const noexcept { return unanswered_ >= missed_pings; }

    /// Whether it takes questions, as far as its signs of life show.
    [[nodiscard]] bool responds() const noexcept { return state_ == State::ready && !hangs(); }

    /// How many of its processes crashed or hung, one after the other; one that was well for a
    /// minute takes the count back. What somebody else killed does not count.
    [[nodiscard]] unsigned crashes() const noexcept { return crashes_; }

    /// Whether its last process was ended by a SIGKILL that kill() did not send.
    [[nodiscard]] bool killed_by_others() const noexcept { return killed_by_others_; }

  private:
    static constexpr unsigned missed_pings = 3;

    void back_off(unsigned weight, TimePoint now) noexcept;

    Fd control_;
    TimePoint born_at_{};
    TimePoint respawn_at_{TimePoint::min()};
    pid_t pid_{0};
    unsigned index_;
    unsigned births_{0};
    unsigned failures_{0};
    unsigned crashes_{0};
    unsigned unanswered_{0};
    State state_{State::empty};
    bool killed_{false}; // by us
    bool killed_by_others_{false};
};

/// Why a worker that ended needs a successor; asked before it is told that it died().
[[nodiscard]] RestartReason restart_reason(const WorkerSlot& worker, int wait_status,
                                           std::uint64_t forbidden_call) noexcept;

/// "exited with status 1", "was killed by signal 9 (Killed)", "called execve, which its sandbox
/// forbids, and was killed". `forbidden_call` is what it left behind; see sandbox/call.hh.
[[nodiscard]] std::string describe_end(int wait_status, std::uint64_t forbidden_call);

} // namespace dotproxy
