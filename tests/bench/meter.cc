// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Measures what it takes to charge a source: with one budget and with two, when it is the same
// source again, one that is over its limit, or any of a million; alone, and while another process
// charges the same. Says at the end what a question may cost.

#include "shared/meter.hh"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <exception>
#include <sys/wait.h>
#include <unistd.h>

using namespace dotproxy;
using namespace std::chrono_literals;

namespace {

constexpr double most_nanoseconds = 110; // 3 % of an answer from the cache
constexpr std::uint64_t charges = 1'000'000;
constexpr int runs = 8; // of which the fastest counts

// Of processor time: whoever else is busy on this machine shall not count.
double nanoseconds() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

struct Load {
    const char* name;
    std::uint32_t addresses;
    double rate;
};

/// Nanoseconds a charge of `count` budgets, a million of them a second.
double run_once(const LimitsMemory& memory, const Load& load, std::size_t count, TimePoint& now,
                std::uint64_t& passed) {
    Meter meter{memory};
    const Rate near = Rate::of(load.rate, 2s);
    const Rate far = Rate::of(1e6, 2s);
    const double begin = nanoseconds();
    for (std::uint64_t i = 0; i < charges; ++i) {
        const std::uint64_t address = (i * 0x9e3779b97f4a7c15U >> 32U) % load.addresses;
        const AddressBits bits{0, 0xffff'0a00'0000U | address};
        const std::array<Budget, 2> budgets{Budget{Prefix::of(bits, 32, 64), 1, near},
                                            Budget{Prefix::of(bits, 24, 48), 1, far}};
        now += 1us;
        passed += meter.charge({budgets.data(), count}, now).passed() ? 1U : 0U;
    }
    return (nanoseconds() - begin) / static_cast<double>(charges);
}

/// Begins an hour after `now`, when all is paid, and leaves there when it ended.
double measure(const LimitsMemory& memory, const Load& load, std::size_t count, TimePoint& now) {
    std::uint64_t passed = 0;
    double none = most_nanoseconds; // what the loop takes by itself
    double least = 1000 * most_nanoseconds;
    for (int i = 0; i < runs; ++i) {
        none = std::min(none, run_once(memory, load, 0, now, passed));
    }
    now += 1h;
    passed = 0;
    for (int i = 0; i < runs; ++i) {
        least = std::min(least, run_once(memory, load, count, now, passed));
    }
    std::printf("  %-24s %zu  %6.1f ns  %5.1f %% passed\n", load.name, count, least - none,
                100.0 * static_cast<double>(passed) / static_cast<double>(charges * runs));
    return least - none;
}

double measure_all(const LimitsMemory& memory, TimePoint& now) {
    constexpr std::array<Load, 3> loads{{{"the same source", 1, 1e6},
                                         {"a source over its limit", 1, 20},
                                         {"any of a million sources", 1'000'000, 20}}};
    double most = 0;
    for (const Load& load : loads) {
        for (const std::size_t count : {1U, 2U}) {
            most = std::max(most, measure(memory, load, count, now));
        }
    }
    return most;
}

int run() {
    const LimitsMemory memory;
    TimePoint now{1h};
    std::puts("alone");
    const double most = measure_all(memory, now);
    std::puts("while another process charges the same source");
    std::fflush(stdout);
    const pid_t other = ::fork();
    if (other == 0) {
        Meter meter{memory};
        const Budget budget{Prefix::of({0, 0xffff'0a00'0000U}, 32, 64), 1, Rate::of(1e6, 2s)};
        for (;; now += 1us) {
            (void)meter.charge({&budget, 1}, now);
        }
    }
    (void)measure(memory, {"the same source", 1, 1e6}, 1, now);
    (void)measure(memory, {"any of a million sources", 1'000'000, 20}, 2, now);
    ::kill(other, SIGKILL);
    ::waitpid(other, nullptr, 0);
    std::printf("at most %.1f ns; %.0f is what limits may cost a question\n", most,
                most_nanoseconds);
    return 0;
}

} // namespace

int main() {
    try {
        return run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
