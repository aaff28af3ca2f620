// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/meter.hh"

#include "shared/meter_rig.hh"
#include "shared/self_describing.hh"

#include "unit.hh"

#include <array>
#include <cmath>
#include <vector>

using namespace dotproxy;
using namespace dotproxy::test;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint start{std::chrono::hours{5}};
constexpr Debt times_around{std::int64_t{1} << 44U};

TimePoint after(TimePoint time, Debt debt) noexcept {
    return time + std::chrono::ceil<Clock::duration>(debt);
}

// Rules 1 and 53. 30,000 units of each, after the burst, asked for three times as fast.
void test_charge_when_asked_for_more_then_the_rate_is_exact(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    constexpr std::uint64_t tries = 90'000;
    std::uint32_t source = 0;
    for (const double rate : {1.0, 3.0, 7.0, 20.0, 99.0, 500.0, 1e3, 3e3, 7e3, 3e4, 7e4, 1.1e5, 3e5,
                              6.6e5, 7e5, 9e5, 985e3, 999'999.0, 1e6}) {
        const Budget budget = budget_of(++source, Rate::of(rate, 1s));
        (void)passed(meter, budget, start, static_cast<std::uint64_t>(1.02 * rate) + 10);
        std::uint64_t count = 0;
        const std::chrono::duration<double, std::nano> pause{1e9 / 3 / rate};
        for (std::uint64_t i = 1; i <= tries; ++i) {
            const auto since = std::chrono::floor<Clock::duration>(pause * i);
            count += passes(meter, budget, start + since) ? 1U : 0U;
        }
        if (std::abs(static_cast<double>(count) - tries / 3.0) > tries / 3.0 / 100) {
            fail_msg("%.0f a second: %llu instead of %llu", rate, 1ULL * count, tries / 3ULL);
        }
    }
}

void test_charge_when_all_come_at_once_then_a_burst_passes(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    constexpr std::uint64_t tries = 20'000;
    assert_int_equal(passed(meter, budget_of(1, Rate::of(100, 2s)), start, tries), 200);
    assert_int_equal(passed(meter, budget_of(2, Rate::of(5000, 2s)), start, tries), 10'000);
    assert_int_equal(passed(meter, budget_of(3, Rate::of(1, 1s)), start, tries), 1);
    assert_int_equal(passed(meter, budget_of(4, Rate::of(1, 0s)), start, tries), 1);
    assert_int_equal(passed(meter, budget_of(5, Rate::of(0.1, 0s)), start, tries), 1);
}

void test_charge_when_it_was_silent_then_it_has_that_time_again(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    const Budget budget = budget_of(1, Rate::of(100, 2s));
    TimePoint now = start;
    assert_int_equal(passed(meter, budget, now, 1000), 200);
    now += 500ms;
    assert_int_equal(passed(meter, budget, now, 1000), 50);
    for (const Clock::duration pause : {Clock::duration{2s}, Clock::duration{1h}}) {
        now += pause;
        assert_int_equal(passed(meter, budget, now, 1000), 200);
    }
}

// L55: by a turn, and by more than anybody ever owes.
void test_charge_when_time_goes_back_then_nobody_is_locked_out(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    const Budget calm = budget_of(1, Rate::of(100, 2s));
    const Budget eager = budget_of(2, Rate::of(100, 2s));
    for (int i = 0; i < 100; ++i) { // two processes, one of them a turn behind
        assert_true(passes(meter, calm, start + 20ms * i));
        assert_true(passes(meter, calm, start + 20ms * i - 100ms));
    }
    assert_int_equal(passed(meter, eager, start, 1000), 200);
    assert_false(passes(meter, eager, start - 100ms));
    assert_false(passes(meter, eager, start - 10s));
    assert_true(passes(meter, eager, start + 10ms));
    assert_true(passes(meter, eager, start - 1h));
    assert_int_equal(meter.debt(eager, start - 1h).count(), eager.rate.cost.count());
}

// Rule 5.
void test_charge_when_the_times_come_around_then_nothing_is_to_be_seen(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    const Budget budget = budget_of(1, Rate::of(100, 2s));
    const TimePoint around = after(TimePoint{}, times_around);
    assert_int_equal(passed(meter, budget, around - 1s, 1000), 200);
    std::uint64_t count = 0;
    for (auto since = -1s + 1ms; since <= 3s; since += 1ms) {
        count += passes(meter, budget, around + since) ? 1U : 0U;
    }
    assert_in_range(count, 399, 400);
    // What was owed once is no debt the next time either.
    const TimePoint next = around + 3s + std::chrono::ceil<Clock::duration>(times_around);
    assert_int_equal(meter.debt(budget, next + 2s).count(), 0);
    assert_int_equal(passed(meter, budget, next + 2s, 1000), 200);
}

// A word that nobody ever wrote would be a time shortly ahead.
void test_charge_when_the_times_come_around_then_unused_words_are_free(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    const TimePoint before = after(TimePoint{}, times_around) - 1s;
    const Rate rate = Rate::of(1000, 2s);
    const std::vector<std::uint32_t> sources = sources_in(memory, memory.lines()[77], 8);
    for (const std::uint32_t source : sources) {
        assert_true(passes(meter, budget_of(source, rate), before));
    }
    for (const std::uint32_t source : sources) {
        assert_int_equal(meter.debt(budget_of(source, rate), before).count(), rate.cost.count());
    }
}

/// When a source was let in, and what must hold of it whatever it does.
class History {
  public:
    explicit History(const Rate& rate) noexcept : rate_{rate} {}

    void add(TimePoint time) { passed_.push_back(time); }

    /// What all windows that end at `now` have room for, counted as time.
    [[nodiscard]] Debt room(TimePoint now) const {
        Debt least = rate_.burst;
        Debt taken{0};
        for (std::size_t i = passed_.size(); i > 0; --i) {
            taken += rate_.cost;
            const auto window = std::chrono::floor<Debt>(now - passed_[i - 1]);
            least = std::min(least, rate_.burst + window - taken);
        }
        return least;
    }

  private:
    Rate rate_;
    std::vector<TimePoint> passed_;
};

// Rule 53. In any window w, at most burst + rate * w + 1; and no less: whoever is refused has had
// that much.
void test_charge_when_a_source_does_anything_then_it_has_what_it_may_have(void** /*state*/) {
    std::uint64_t seed = 12;
    for (std::uint32_t source = 1; source <= 100; ++source) {
        const LimitsMemory memory;
        Meter meter{memory};
        const double per_second = std::pow(10.0, static_cast<double>(draw(seed) % 6001) / 1000);
        const Debt burst{static_cast<std::int64_t>(draw(seed) % 60) * Debt{1s}.count() / 1000};
        const Budget budget = budget_of(source, Rate::of(per_second, burst));
        History history{budget.rate};
        // Near the end of the times for every other one.
        TimePoint now = source % 2 == 0 ? start : after(TimePoint{}, times_around) - 1ms;
        for (int i = 0; i < 500; ++i) {
            const Debt room = history.room(now);
            const bool let_in = passes(meter, budget, now);
            if (let_in != (room >= budget.rate.cost) &&
                std::chrono::abs(room - budget.rate.cost) > Debt{1}) {
                fail_msg("source %u, %.1f a second, try %d", source, per_second, i);
            }
            if (let_in) {
                history.add(now);
            }
            const std::uint64_t longest = draw(seed) % 16 == 0 ? 40 : 2; // units
            const auto ticks = static_cast<std::uint64_t>(budget.rate.cost.count()) * longest;
            now = after(now, Debt{static_cast<std::int64_t>(draw(seed) % ticks)});
        }
    }
}

void test_charge_when_one_of_two_is_over_then_none_is_charged(void** /*state*/) { // rule 10
    const LimitsMemory memory;
    Meter meter{memory};
    const Budget address = budget_of(1, Rate::of(10, 1s));
    const Budget net{{{0, 0xffff'0000'0000U}, 120}, 0, Rate::of(320, 1s)};
    const std::array both{address, net};
    const std::array turned{net, address};
    for (int i = 0; i < 10; ++i) {
        assert_true(meter.charge(both, start).passed());
    }
    const Debt before = meter.debt(net, start);
    assert_int_equal(before.count(), 10 * net.rate.cost.count());
    for (int i = 0; i < 1000; ++i) {
        const Verdict verdict = meter.charge(both, start);
        assert_ptr_equal(verdict.over, both.data());
        assert_int_equal(verdict.by.count(), address.rate.cost.count());
        assert_ptr_equal(meter.charge(turned, start).over, turned.data() + 1);
    }
    assert_int_equal(meter.debt(net, start).count(), before.count());
    assert_int_equal(meter.debt(address, start).count(), Debt{1s}.count());
    // So it has one again as soon as one is paid, however often it was refused.
    assert_true(meter.charge(both, start + 100ms).passed());
}

void test_look_then_nothing_is_taken(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    const std::array budget{budget_of(1, Rate::of(10, 1s))};
    for (int i = 0; i < 100; ++i) {
        assert_true(meter.look(budget, start, 10).passed());
        assert_ptr_equal(meter.look(budget, start, 11).over, budget.data());
    }
    assert_true(meter.charge(budget, start, 10).passed());
    assert_ptr_equal(meter.look(budget, start).over, budget.data());
    assert_true(meter.charge({}, start).passed()); // who has no limits
}

void test_charge_when_kinds_or_lengths_differ_then_they_are_apart(void** /*state*/) { // rule 11
    const LimitsMemory memory;
    Meter meter{memory};
    const Rate rate = Rate::of(10, 1s);
    const AddressBits v4{0, 0xffff'0a00'0000U};
    const AddressBits v6{0x2001'0db8'0000'0000U, 0};
    for (const std::uint8_t kind : std::array<std::uint8_t, 4>{0, 1, 2, 255}) {
        for (const Prefix& prefix :
             {Prefix{v4, 128}, Prefix{v4, 120}, Prefix{v6, 64}, Prefix{v6, 48}, Prefix{v6, 128}}) {
            assert_int_equal(passed(meter, {prefix, kind, rate}, start, 100), 10);
        }
    }
}

// Rule 3: the least debt goes, and the newcomer owes what it had and nothing else.
void test_charge_when_the_line_is_full_then_who_owes_least_goes(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    const Rate rate = Rate::of(100, 2s);
    const std::vector<std::uint32_t> sources = sources_in(memory, memory.lines()[4711], 60);
    for (std::uint32_t i = 0; i < 8; ++i) {
        const std::uint64_t count = i == 5 ? 90 : 100 + i;
        assert_int_equal(passed(meter, budget_of(sources[i], rate), start, count), count);
    }
    for (std::size_t i = 8; i < sources.size(); ++i) {
        const Budget newcomer = budget_of(sources[i], rate);
        assert_int_equal(meter.debt(newcomer, start).count(), 0);
        assert_true(passes(meter, newcomer, start));
        assert_int_equal(meter.debt(newcomer, start).count(), rate.cost.count());
    }
    for (std::uint32_t i = 0; i < 8; ++i) {
        const Debt debt = meter.debt(budget_of(sources[i], rate), start);
        assert_int_equal(debt.count(), i == 5 ? 0 : (100 + i) * rate.cost.count());
    }
}

// Rule 2: a word that is paid for is no information.
void test_charge_when_the_line_is_full_of_what_is_paid_then_nobody_goes(void** /*state*/) {
    const LimitsMemory memory;
    Meter meter{memory};
    const Rate rate = Rate::of(100, 2s);
    const std::vector<std::uint32_t> sources = sources_in(memory, memory.lines()[0], 12);
    for (std::uint32_t i = 0; i < 8; ++i) {
        (void)passed(meter, budget_of(sources[i], rate), start, i < 4 ? 200 : 100);
    }
    for (std::uint32_t i = 8; i < 12; ++i) {
        (void)passed(meter, budget_of(sources[i], rate), start + 1s, 1);
    }
    for (std::uint32_t i = 0; i < 4; ++i) {
        const Debt debt = meter.debt(budget_of(sources[i], rate), start + 1s);
        assert_int_equal(debt.count(), Debt{1s}.count());
    }
}

void test_debit_when_it_turns_out_dearer_then_it_is_owed(void** /*state*/) { // rule 16
    const LimitsMemory memory;
    Meter meter{memory};
    const std::array budget{budget_of(1, Rate::of(10, 1s))};
    assert_int_equal(passed(meter, budget[0], start, 10), 10);
    meter.debit(budget, start, 30);
    const Verdict verdict = meter.charge(budget, start);
    assert_ptr_equal(verdict.over, budget.data());
    assert_int_equal(verdict.by.count(), Debt{3100ms}.count());
    assert_false(passes(meter, budget[0], start + 3099ms));
    assert_true(passes(meter, budget[0], start + 3100ms));
    // However much it was.
    for (const std::uint32_t units : {1U, 1000U, ~0U, ~0U}) {
        meter.debit(budget, start + 4s, units);
    }
    assert_int_equal(meter.debt(budget[0], start + 4s).count(), longest_debt.count());
    assert_false(passes(meter, budget[0], start + 3500ms)); // by a clock that is a turn behind
    assert_true(passes(meter, budget[0], after(start + 3100ms, longest_debt)));
}

void test_rate_when_beyond_the_bounds_then_it_is_the_bound(void** /*state*/) {
    assert_int_equal(Rate::of(1e6, 2s).cost.count(), 64);
    assert_int_equal(Rate::of(1e9, 2s).cost.count(), 64);
    assert_int_equal(Rate::of(0, 2s).cost.count(), longest_debt.count());
    assert_int_equal(Rate::of(0, 2s).burst.count(), longest_debt.count());
    assert_int_equal(Rate::of(10, 1h).burst.count(), longest_debt.count());
    assert_int_equal(Rate::of(10, 1us).burst.count(), Debt{100ms}.count());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_charge_when_asked_for_more_then_the_rate_is_exact),
        cmocka_unit_test(test_charge_when_all_come_at_once_then_a_burst_passes),
        cmocka_unit_test(test_charge_when_it_was_silent_then_it_has_that_time_again),
        cmocka_unit_test(test_charge_when_time_goes_back_then_nobody_is_locked_out),
        cmocka_unit_test(test_charge_when_the_times_come_around_then_nothing_is_to_be_seen),
        cmocka_unit_test(test_charge_when_the_times_come_around_then_unused_words_are_free),
        cmocka_unit_test(test_charge_when_a_source_does_anything_then_it_has_what_it_may_have),
        cmocka_unit_test(test_charge_when_one_of_two_is_over_then_none_is_charged),
        cmocka_unit_test(test_look_then_nothing_is_taken),
        cmocka_unit_test(test_charge_when_kinds_or_lengths_differ_then_they_are_apart),
        cmocka_unit_test(test_charge_when_the_line_is_full_then_who_owes_least_goes),
        cmocka_unit_test(test_charge_when_the_line_is_full_of_what_is_paid_then_nobody_goes),
        cmocka_unit_test(test_debit_when_it_turns_out_dearer_then_it_is_owed),
        cmocka_unit_test(test_rate_when_beyond_the_bounds_then_it_is_the_bound),
    };
    return cmocka_run_group_tests_name("shared/meter", tests, nullptr, nullptr);
}
