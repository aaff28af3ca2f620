// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/stepper.hh"

#include <cerrno>
#include <csignal>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unordered_set>
#include <utility>

namespace dotproxy::test {

namespace {

constexpr std::size_t most_steps = 1'000'000;

#if defined(__x86_64__)
constexpr bool has_break_points = true;
constexpr std::uint64_t break_point = 0xcc;
constexpr std::uint64_t break_point_mask = 0xff;
constexpr std::size_t instruction_pointer = offsetof(user, regs.rip);
#else
constexpr bool has_break_points = false;
constexpr std::uint64_t break_point = 0;
constexpr std::uint64_t break_point_mask = 0;
constexpr std::size_t instruction_pointer = 0;
#endif

void* pointer(std::uint64_t address) noexcept {
    return reinterpret_cast<void*>(address); // NOLINT: what ptrace() takes
}

std::uint64_t place_of(pid_t child) noexcept {
    return has_break_points ? static_cast<std::uint64_t>(::ptrace(
                                  PTRACE_PEEKUSER, child, pointer(instruction_pointer), nullptr))
                            : 0;
}

// Waits until the child stops; false when it ended instead.
bool stopped(pid_t child, int& status) noexcept {
    return ::waitpid(child, &status, 0) == child && WIFSTOPPED(status);
}

bool end(pid_t child) noexcept {
    int status = 0;
    return ::kill(child, SIGKILL) == 0 && ::waitpid(child, &status, 0) == child &&
           WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

} // namespace

bool Stepper::allowed() {
    const Stepper nothing{[] {}};
    return nothing.size() > 0;
}

Stepper::Stepper(Job job) : job_{std::move(job)} {
    const pid_t child = start();
    if (child < 0) {
        return;
    }
    std::unordered_set<std::uint64_t> seen;
    int status = 0;
    while (places_.size() < most_steps) {
        const std::uint64_t place = place_of(child);
        const bool is_new = seen.insert(place).second && place != 0;
        const std::size_t here = places_.size();
        places_.push_back(place);
        run_until_.push_back(is_new || here == 0 ? here : run_until_.back());
        if (!step(child, status)) {
            break;
        }
    }
    const bool finished = WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP;
    if (!end(child) || !finished) {
        places_.clear();
    }
}

pid_t Stepper::start() const {
    const pid_t child = ::fork();
    if (child == 0) {
        if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
            ::_exit(1);
        }
        ::raise(SIGSTOP);
        job_();
        ::raise(SIGSTOP); // the end of the trace
        ::_exit(1);
    }
    int status = 0;
    return child > 0 && stopped(child, status) ? child : -1;
}

bool Stepper::kill_after(std::size_t count) const {
    const pid_t child = start();
    if (child < 0) {
        return false;
    }
    const bool good = run_to(child, count);
    return end(child) && good;
}

bool Stepper::interrupt_after(std::size_t count, const Job& meanwhile) const {
    const pid_t child = start();
    if (child < 0) {
        return false;
    }
    bool good = run_to(child, count);
    if (good) {
        meanwhile();
        int status = 0;
        good = ::ptrace(PTRACE_CONT, child, nullptr, nullptr) == 0 && stopped(child, status) &&
               WSTOPSIG(status) == SIGSTOP;
    }
    return end(child) && good;
}

bool Stepper::watch_after(std::size_t count, const Job& meanwhile, std::size_t more,
                          const Job& look) const {
    const pid_t child = start();
    if (child < 0) {
        return false;
    }
    bool good = run_to(child, count);
    if (good) {
        meanwhile();
    }
    int status = 0;
    for (std::size_t i = 0; good && i < more; ++i) {
        if (step(child, status)) {
            look();
            continue;
        }
        good = WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP; // it has come to its end
        break;
    }
    return end(child) && good;
}

bool Stepper::run_to(pid_t child, std::size_t count) const {
    const std::size_t place = run_until_[count];
    bool good = place == 0 || jump(child, place);
    int status = 0;
    for (std::size_t i = place; good && i < count; ++i) {
        good = step(child, status);
    }
    return good && place_of(child) == places_[count];
}

// An instruction that repeats itself (rep stos) is one: in how many steps differs from run to run.
bool Stepper::step(pid_t child, int& status) {
    const std::uint64_t place = place_of(child);
    do {
        if (::ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0 || !stopped(child, status) ||
            WSTOPSIG(status) != SIGTRAP) {
            return false;
        }
    } while (place != 0 && place_of(child) == place);
    return true;
}

// Lets the child run to an address where it has not been yet.
bool Stepper::jump(pid_t child, std::size_t place) const {
    void* const address = pointer(places_[place]);
    errno = 0;
    const long word = ::ptrace(PTRACE_PEEKTEXT, child, address, nullptr);
    const auto original = static_cast<std::uint64_t>(word);
    int status = 0;
    return errno == 0 &&
           ::ptrace(PTRACE_POKETEXT, child, address,
                    pointer((original & ~break_point_mask) | break_point)) == 0 &&
           ::ptrace(PTRACE_CONT, child, nullptr, nullptr) == 0 && stopped(child, status) &&
           WSTOPSIG(status) == SIGTRAP &&
           ::ptrace(PTRACE_POKETEXT, child, address, pointer(original)) == 0 &&
           ::ptrace(PTRACE_POKEUSER, child, pointer(instruction_pointer), address) == 0;
}

} // namespace dotproxy::test
