// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The memory of limits between processes, scribbled over, and under a flood of sources.

#include "shared/limits_memory.hh"

#include "shared/meter_rig.hh"
#include "shared/self_describing.hh"

#include "unit.hh"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace dotproxy;
using namespace dotproxy::test;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint start{std::chrono::hours{5}};
constexpr std::size_t size = sizeof(Line) * LimitsMemory::line_count;

/// Runs `job` in a child; whether it said true.
bool is_true_in_child(const std::function<bool()>& job) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(job() ? 0 : 1);
    }
    int status = -1;
    return ::waitpid(child, &status, 0) == child && status == 0;
}

std::size_t resident_pages(const LimitsMemory& memory) {
    std::vector<unsigned char> pages(size / static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
    assert_int_equal(::mincore(memory.lines().data(), size, pages.data()), 0);
    return static_cast<std::size_t>(
        std::ranges::count_if(pages, [](unsigned char page) { return (page & 1U) != 0; }));
}

// Rule 63.
void test_memory_when_new_then_none_is_touched(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    assert_int_equal(size, 1U << 20U);
    assert_int_equal(resident_pages(memory), 0);
    assert_true(passes(meter, budget_of(1, Rate::of(10, 1s)), start));
    assert_int_equal(resident_pages(memory), 1);
}

void test_memory_then_no_core_file_has_it(void** /*state*/) {
    const LimitsMemory memory;
    std::ostringstream address;
    address << std::hex << reinterpret_cast<std::uintptr_t>(memory.lines().data()) << '-';
    std::ifstream maps{"/proc/self/smaps"};
    bool inside = false;
    bool undumped = false;
    for (std::string line; std::getline(maps, line);) {
        const bool flags = line.starts_with("VmFlags:");
        inside = line.starts_with(address.str()) || inside;
        undumped = (inside && flags && line.find(" dd") != std::string::npos) || undumped;
        inside = inside && !flags;
    }
    assert_true(undumped);
}

// Rule 55. What one has given, another one has not.
void test_memory_when_processes_share_it_then_they_share_the_limit(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    const Budget budget = budget_of(1, Rate::of(100, 2s));
    for (int i = 0; i < 4; ++i) { // each ends, and the next one goes on where it was
        assert_true(is_true_in_child([&] { return passed(meter, budget, start, 50) == 50; }));
    }
    assert_true(is_true_in_child([&] { return !passes(meter, budget, start); }));
    assert_false(passes(meter, budget, start));
    assert_true(passes(meter, budget, start + 10ms));
    assert_false(is_true_in_child([&] { return passes(meter, budget, start + 10ms); }));
}

void test_memory_when_processes_charge_at_once_then_the_sum_is_the_limit(void** /*state*/) {
    struct Board {
        std::atomic<std::int64_t> microseconds;
        std::atomic<std::uint64_t> passed;
    };

    const LimitsMemory memory;
    const LimitsMemory other; // memory that they share
    Board& board = *static_cast<Board*>(static_cast<void*>(other.lines().data()));
    const Budget budget = budget_of(1, Rate::of(100'000, 10ms));
    constexpr std::int64_t duration = 300'000;
    const auto work = [&] {
        Meter meter{memory};
        for (std::int64_t time = 0; time < duration; time = board.microseconds += 1) {
            board.passed +=
                passes(meter, budget, start + std::chrono::microseconds{time}) ? 1U : 0U;
        }
        return true;
    };
    const pid_t child = ::fork();
    if (child == 0) {
        work();
        ::_exit(0);
    }
    work();
    int status = -1;
    assert_int_equal(::waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_in_range(board.passed.load(), 31'000 - 310, 31'000 + 310);
}

// Rule 7. A new start is a new secret: who shares a word with others does so no longer.
void test_memory_when_another_one_is_made_then_its_lines_are_other_ones(void** /*state*/) {
    const LimitsMemory one;
    const LimitsMemory another;
    constexpr std::array<std::uint8_t, 3> octets{1, 2, 3};
    assert_int_not_equal(one.hash()(octets), another.hash()(octets));
}

// Rule 5.
void test_memory_when_scribbled_over_then_nobody_innocent_is_over(void** /*state*/) {
    constexpr std::uint32_t sources = 5000;
    const LimitsMemory memory;
    Meter meter{memory};
    const Rate rate = Rate::of(100, 1s);
    const Budget offender = budget_of(0, rate);
    std::uint64_t seed = 5;
    for (const std::uint64_t pattern :
         {std::uint64_t{1}, ~std::uint64_t{0}, std::uint64_t{0x2020'2020'2020'2020U}}) {
        set_all(memory, pattern);
        for (std::uint32_t i = 1; i < sources; ++i) {
            assert_true(passes(meter, budget_of(i, rate), start));
        }
        assert_int_equal(passed(meter, offender, start, 1000), 100);
    }
    for (int round = 0; round < 5; ++round) {
        for (Line& line : memory.lines()) {
            std::ranges::for_each(line.words, [&](auto& word) { word = draw(seed); });
        }
        for (std::uint32_t i = 1; i < sources; ++i) {
            const std::array both{budget_of(i, rate), budget_of(i, rate, 1)};
            assert_true(meter.charge(both, start).passed());
            meter.debit(both, start, 1);
        }
        assert_int_equal(passed(meter, offender, start, 1000), 100);
    }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int flood_seconds = 2; // each takes many times as long
#else
constexpr int flood_seconds = 10;
#endif

/// Sources that ask in turn, all together at an even pace.
struct Crowd {
    std::uint32_t first;
    std::uint32_t count;
    std::chrono::microseconds pause; // between two questions of any of them
    std::vector<std::uint64_t> passed;
    std::uint64_t over{0};
    std::uint64_t next{0};

    Crowd(std::uint32_t begin, std::uint32_t sources, double each)
        : first{begin}, count{sources}, pause{static_cast<int>(1e6 / sources / each)},
          passed(sources) {}

    void ask(Meter& meter, const Rate& rate, std::chrono::microseconds time) {
        if (time % pause == 0us) {
            const auto who = static_cast<std::uint32_t>(next++ % count);
            const bool let_in = passes(meter, budget_of(first + who, rate), start + time);
            passed[who] += let_in ? 1U : 0U;
            over += let_in ? 0U : 1U;
        }
    }
};

// Rule 54: a million new sources a second are 50,000 words that owe something. Beside them,
// innocents stay below the limit, and offenders ask ten times as much.
void test_memory_when_flooded_then_no_innocent_is_over_and_offenders_have_their_limit(
    void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    const Rate rate = Rate::of(20, 2s);
    Crowd innocents{0x0a00'0000U, 1000, 5};
    Crowd offenders{0x0b00'0000U, 100, 200};
    std::uint64_t strangers_over = 0;
    constexpr std::uint32_t end = flood_seconds * 1'000'000;
    for (std::uint32_t i = 0; i < end; ++i) {
        const std::chrono::microseconds time{i};
        innocents.ask(meter, rate, time);
        offenders.ask(meter, rate, time);
        strangers_over += passes(meter, budget_of(0x8000'0000U + i, rate), start + time) ? 0U : 1U;
    }
    assert_int_equal(innocents.over, 0);
    constexpr std::uint64_t limit = 20ULL * (2 + flood_seconds);
    const auto [least, most] = std::ranges::minmax(offenders.passed);
    print_message("# %d s: %llu innocents over, %llu of %u new ones; offenders %llu to %llu of "
                  "%llu\n",
                  flood_seconds, 1ULL * innocents.over, 1ULL * strangers_over, end, 1ULL * least,
                  1ULL * most, 1ULL * limit);
    assert_in_range(least, limit - limit / 50, limit);
    assert_true(most <= limit + limit / 50);
    assert_true(strangers_over <= end / 100'000);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_when_new_then_none_is_touched),
        cmocka_unit_test(test_memory_then_no_core_file_has_it),
        cmocka_unit_test(test_memory_when_processes_share_it_then_they_share_the_limit),
        cmocka_unit_test(test_memory_when_processes_charge_at_once_then_the_sum_is_the_limit),
        cmocka_unit_test(test_memory_when_another_one_is_made_then_its_lines_are_other_ones),
        cmocka_unit_test(test_memory_when_scribbled_over_then_nobody_innocent_is_over),
        cmocka_unit_test(
            test_memory_when_flooded_then_no_innocent_is_over_and_offenders_have_their_limit),
    };
    return cmocka_run_group_tests_name("shared/limits_memory", tests, nullptr, nullptr);
}
