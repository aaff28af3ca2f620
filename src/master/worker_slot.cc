// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/worker_slot.hh"

#include "sandbox/call.hh"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <sys/socket.h>
#include <sys/wait.h>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration healthy_after = 60s;
constexpr Milliseconds first_pause = 100ms;
constexpr Milliseconds longest_pause = 30s;

} // namespace

void WorkerSlot::born(pid_t pid, Fd control, TimePoint now) noexcept {
    pid_ = pid;
    control_ = std::move(control);
    born_at_ = now;
    ++births_;
    unanswered_ = 0;
    killed_ = killed_by_others_ = false;
    state_ = State::starting;
}

void WorkerSlot::heard(Report report) noexcept {
    unanswered_ = 0;
    if (report == Report::ready) {
        state_ = State::ready;
    }
}

void WorkerSlot::died(int status, TimePoint now) noexcept {
    const bool was_ready = state_ == State::ready;
    pid_ = 0;
    control_.reset();
    killed_by_others_ = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !killed_;
    if (WIFEXITED(status) && WEXITSTATUS(status) == exit_hopeless) {
        state_ = State::hopeless;
        return;
    }
    if (was_ready && now - born_at_ >= healthy_after) {
        failures_ = 0;
        crashes_ = 0;
    }
    // The master ends those that hang, by the same signal that an administrator or the kernel short
    // of memory sends to those that do not.
    if (WIFSIGNALED(status) && (WTERMSIG(status) != SIGKILL || hangs())) {
        ++crashes_;
    }
    back_off(was_ready ? 1 : 2, now);
}

void WorkerSlot::not_born(TimePoint now) noexcept {
    back_off(2, now);
}

void WorkerSlot::back_off(unsigned weight, TimePoint now) noexcept {
    state_ = State::empty;
    failures_ += weight;
    if (failures_ == 1) {
        respawn_at_ = now;
        return;
    }
    const unsigned doublings = std::min(failures_ - 2, 9U);
    respawn_at_ = now + std::min(first_pause * (1 << doublings), longest_pause);
}

void WorkerSlot::tell(Order order) const noexcept {
    const auto octet = static_cast<std::uint8_t>(order);
    static_cast<void>(::send(control_.get(), &octet, 1, MSG_NOSIGNAL | MSG_DONTWAIT));
}

void WorkerSlot::ping() noexcept {
    // Counted, not timed: a pause of the master itself is nothing to hold against it.
    ++unanswered_;
    tell(Order::ping);
}

void WorkerSlot::kill(int signal) noexcept {
    if (alive()) {
        killed_ = killed_ || signal == SIGKILL;
        ::kill(pid_, signal);
    }
}

RestartReason restart_reason(const WorkerSlot& worker, int wait_status,
                             std::uint64_t forbidden_call) noexcept {
    if (WIFEXITED(wait_status)) {
        return RestartReason::exit;
    }
    if (WTERMSIG(wait_status) == SIGSYS && forbidden_call != 0) {
        return RestartReason::sandbox;
    }
    return worker.hangs() ? RestartReason::hang : RestartReason::signal;
}

std::string describe_end(int wait_status, std::uint64_t forbidden_call) {
    if (WIFEXITED(wait_status)) {
        return "exited with status " + std::to_string(WEXITSTATUS(wait_status));
    }
    const int signal = WTERMSIG(wait_status);
    if (signal == SIGSYS && forbidden_call != 0) {
        return "called " + sandbox::call_name(forbidden_call) +
               ", which its sandbox forbids, and was killed";
    }
    return "was killed by signal " + std::to_string(signal) + " (" + ::strsignal(signal) +
           ")"; // NOLINT(concurrency-mt-unsafe): one thread
}

} // namespace dotproxy
