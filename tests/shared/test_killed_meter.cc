// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Any process may die in any instruction (L66; rules 5 and 54). Whoever charges is killed in every
// instruction of it: each budget has then been charged or not, nobody else owes anything more, and
// the next charge is as if nothing had happened. And it is interrupted in every instruction, by
// others that charge the same (rule 6).

#include "shared/meter_rig.hh"
#include "shared/stepper.hh"

#include "unit.hh"

#include <csignal>
#include <cstdio>
#include <ctime>
#include <functional>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace dotproxy;
using namespace dotproxy::test;
using namespace std::chrono_literals;

namespace {

// Where traps are slow it is these that end the test.
#if defined(__SANITIZE_ADDRESS__)
constexpr double most_seconds = 5; // a fork takes ten times as long, and so does a charge
#else
constexpr double most_seconds = 16;
#endif
constexpr std::size_t random_kills = 3000;
constexpr std::uint32_t offenders = 1000;
constexpr TimePoint now{std::chrono::hours{5}};

double seconds() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Two budgets, of which the first one's line has as many other sources as wanted.
struct Scene {
    LimitsMemory memory;
    Meter meter{memory};
    Rate rate{Rate::of(100, 2s)};
    Line& line{memory.lines()[1234]};
    std::vector<std::uint32_t> neighbours{sources_in(memory, line, 9)};
    std::array<Budget, 2> both{
        budget_of(neighbours.back(), rate),
        budget_of(sources_in(memory, memory.lines()[4321], 1).front(), rate)};
    std::vector<LineWords> start;

    Scene(std::size_t count_of_neighbours, std::uint32_t before) {
        neighbours.resize(count_of_neighbours);
        for (std::uint32_t i = 0; i < count_of_neighbours; ++i) {
            (void)passed(meter, budget_of(neighbours[i], rate), now, 10 + i);
        }
        if (before > 0) {
            meter.debit(both, now, before);
        }
        for (const Line& each : memory.lines()) {
            start.push_back(words_of(each));
        }
    }

    void restore() noexcept {
        for (std::size_t i = 0; i < start.size(); ++i) {
            Line& there = memory.lines()[i];
            if (words_of(there) != start[i]) {
                std::ranges::copy(start[i], there.words.begin());
            }
        }
    }

    /// What a budget owes.
    [[nodiscard]] std::uint64_t units(std::size_t budget) const noexcept {
        return static_cast<std::uint64_t>(meter.debt(both[budget], now) / rate.cost);
    }

    /// Whether all neighbours owe what they did, but for `gone` of those that owe least.
    [[nodiscard]] bool is_sound(std::uint32_t gone) const noexcept {
        bool sound = true;
        for (std::uint32_t i = gone; i < neighbours.size(); ++i) {
            const Debt debt = meter.debt(budget_of(neighbours[i], rate), now);
            sound = sound && debt == rate.cost * (10 + i);
        }
        return sound;
    }
};

struct Play {
    std::string name;
    std::size_t neighbours;
    std::uint32_t before;   // units of each budget
    std::uint32_t units;    // that the charge is of
    std::uint64_t expected; // units that this makes of each
    bool checked;           // or else it is a debit
};

const std::vector<Play>& plays() {
    static const std::vector<Play> all{
        {"new sources", 0, 0, 1, 1, true},         {"known sources", 5, 3, 2, 5, true},
        {"a full line", 8, 0, 1, 1, true},         {"over", 5, 200, 1, 200, true},
        {"after the fact", 7, 200, 7, 207, false},
    };
    return all;
}

/// One play, of which each death is in another instruction.
class Act {
  public:
    explicit Act(const Play& play) : play_{play}, scene_{play.neighbours, play.before} {}

    [[nodiscard]] std::size_t size() const noexcept { return stepper_.size(); }

    [[nodiscard]] bool survives(std::size_t count) {
        scene_.restore();
        return stepper_.kill_after(count) && is_sound(0) && goes_on();
    }

    /// Whether no charge is lost when another process makes the same one in the midst of it. New
    /// sources may have two words then, of which one expires.
    [[nodiscard]] bool is_shared(std::size_t count) {
        scene_.restore();
        const std::uint64_t each = play_.expected - play_.before;
        return stepper_.interrupt_after(count, [this] { charge(); }) && scene_.is_sound(gone(2)) &&
               is_between(play_.before == 0 ? each : 2 * each, 2 * each);
    }

  private:
    void charge() noexcept {
        if (play_.checked) {
            (void)scene_.meter.charge(scene_.both, now, play_.units);
        } else {
            scene_.meter.debit(scene_.both, now, play_.units);
        }
    }

    [[nodiscard]] std::uint32_t gone(std::uint32_t newcomers) const noexcept {
        return play_.neighbours == LimitsMemory::words_per_line ? newcomers : 0;
    }

    [[nodiscard]] bool is_between(std::uint64_t least, std::uint64_t most) const noexcept {
        bool sound = true;
        for (std::size_t i = 0; i < scene_.both.size(); ++i) {
            const std::uint64_t more = scene_.units(i) - play_.before;
            sound = sound && least <= more && more <= most;
        }
        return sound;
    }

    /// After `charges` that came to their end, and one that may have.
    [[nodiscard]] bool is_sound(std::uint64_t charges) const noexcept {
        const std::uint64_t each = play_.expected - play_.before;
        return scene_.is_sound(gone(1)) && is_between(charges * each, (charges + 1) * each);
    }

    [[nodiscard]] bool goes_on() noexcept {
        charge();
        return is_sound(1);
    }

    Play play_;
    Scene scene_;
    Stepper stepper_{[this] { charge(); }};
};

// Once around each play, in an order that has been everywhere after a part of it, should time run
// out.
void everywhere(const char* what, double time,
                const std::function<bool(Act&, std::size_t)>& check) {
    const double begin = seconds();
    std::size_t done = 0;
    std::size_t instructions = 0;
    for (std::size_t turn = 0; turn < plays().size(); ++turn) {
        const Play& play = plays()[turn];
        Act act{play};
        assert_true(act.size() > 0);
        const double share = static_cast<double>(turn + 1) / static_cast<double>(plays().size());
        const double end = begin + share * time;
        const std::size_t stride = act.size() % 389 == 0 ? 1 : 389; // a prime
        for (std::size_t i = 0; i < act.size() && (i == 0 || seconds() < end); ++i) {
            const std::size_t count = i * stride % act.size();
            if (!check(act, count)) {
                fail_msg("%s: after %zu of %zu instructions", play.name.c_str(), count, act.size());
            }
            ++done;
        }
        instructions += act.size();
    }
    print_message("# %zu %s in %zu instructions, %.1f s\n", done, what, instructions,
                  seconds() - begin);
}

void test_meter_when_killed_in_any_instruction_then_nothing_is_to_be_repaired(void** /*state*/) {
    everywhere("kills", most_seconds, &Act::survives);
}

void test_meter_when_another_one_charges_meanwhile_then_both_count(void** /*state*/) {
    everywhere("interruptions", most_seconds / 2, &Act::is_shared);
}

/// Charges offenders that share their lines with others, without an end.
[[noreturn]] void hammer(const LimitsMemory& memory, const Rate& rate, std::uint32_t seed) {
    Meter meter{memory};
    for (std::uint32_t i = seed;; ++i) {
        const std::array both{budget_of(i * 0x9e37U % offenders, rate), budget_of(i % 7, rate, 1)};
        (void)meter.charge(both, now);
        meter.debit({both.data(), 1}, now, i % 2);
    }
}

// Two at a time, of which one is killed, whatever it is doing.
void test_meter_when_killed_at_random_then_nobody_innocent_is_over(void** /*state*/) {
    const double begin = seconds();
    const LimitsMemory memory;
    Meter meter{memory};
    const Rate rate = Rate::of(100, 2s);
    std::array<pid_t, 2> writers{};
    std::size_t kills = 0;
    bool sound = true;
    for (; sound && kills < random_kills && seconds() < begin + most_seconds / 2; ++kills) {
        pid_t& writer = writers[kills % 2];
        sound = writer == 0 || (::kill(writer, SIGKILL) == 0 && ::waitpid(writer, nullptr, 0) > 0);
        writer = ::fork();
        if (writer == 0) {
            hammer(memory, rate, static_cast<std::uint32_t>(kills));
        }
        const Budget innocent = budget_of(offenders + static_cast<std::uint32_t>(kills), rate);
        sound = sound && writer > 0 && passes(meter, innocent, now);
    }
    for (const pid_t writer : writers) {
        ::kill(writer, SIGKILL);
        ::waitpid(writer, nullptr, 0);
    }
    assert_true(sound);
    for (std::uint32_t i = 0; i < offenders; ++i) {
        assert_true(meter.debt(budget_of(i, rate), now) <= longest_debt);
        assert_true(passes(meter, budget_of(i, rate), now + 30s));
    }
    print_message("# %zu kills, %.1f s\n", kills, seconds() - begin);
}

} // namespace

int main() {
    if (!Stepper::allowed()) {
        std::puts("1..0 # SKIP a process may not trace another one here (ptrace)");
        return 0;
    }
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_meter_when_killed_in_any_instruction_then_nothing_is_to_be_repaired),
        cmocka_unit_test(test_meter_when_another_one_charges_meanwhile_then_both_count),
        cmocka_unit_test(test_meter_when_killed_at_random_then_nobody_innocent_is_over),
    };
    return cmocka_run_group_tests_name("shared/killed_meter", tests, nullptr, nullptr);
}
