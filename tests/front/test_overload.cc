// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Who is answered while more is asked than a worker can do: the price and the gate as they are,
// and around them a worker that takes as long as a real one, in time that only counts.

#include "front/queue_price.hh"

#include "relay/gate.hh"
#include "shared/counter_region.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

using dotproxy::Address;
using dotproxy::QueuePrice;
using dotproxy::ReceiveQueue;
using dotproxy::TimePoint;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t innocents = 2000;
constexpr double asked_by_an_innocent = 5; // a second
constexpr std::uint32_t flooders = 5;
constexpr std::chrono::nanoseconds answer_takes = 3700ns; // 270,000 a second
constexpr std::chrono::nanoseconds drop_takes = 650ns;
constexpr double capacity = 1e9 / 3700;
constexpr std::size_t datagram = 832; // octets, as the kernel counts
constexpr std::size_t queue_room = 8U << 20U;
constexpr std::size_t batch = 64;

/// Of somebody who asks.
struct Source {
    Address address;
    std::uint64_t asked{0};
    std::uint64_t answered{0};
};

struct Simulation {
    explicit Simulation(double times_of_capacity)
        : per_second{innocents * asked_by_an_innocent, times_of_capacity * capacity} {
        config.limits.mode = dotproxy::LimitsConfig::Mode::off;
        turn.now = TimePoint{1h};
        for (std::uint32_t i = 0; i < innocents + flooders; ++i) {
            const std::string literal =
                "10.0." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250);
            sources.push_back({.address = Address::parse(literal, 4711).value()});
        }
    }

    /// So much time in which nothing is measured, and then some in which it is.
    void run() {
        work_until(turn.now + 1s);
        for (Source& source : sources) {
            source.asked = source.answered = 0;
        }
        work_until(turn.now + 2s);
    }

    /// The part of what innocents asked that was answered.
    [[nodiscard]] double answered() const {
        std::uint64_t asked = 0;
        std::uint64_t got = 0;
        for (std::uint32_t i = 0; i < innocents; ++i) {
            asked += sources[i].asked;
            got += sources[i].answered;
        }
        return static_cast<double>(got) / static_cast<double>(asked);
    }

    /// All answers, as a part of what the worker can do.
    [[nodiscard]] double goodput() const {
        std::uint64_t got = 0;
        for (const Source& source : sources) {
            got += source.answered;
        }
        return static_cast<double>(got) / 2 / capacity;
    }

    void work_until(TimePoint end) {
        while (turn.now < end) {
            std::chrono::nanoseconds took{1000};
            const bool full = queue.size() >= batch;
            for (std::size_t i = 0; i < batch && !queue.empty(); ++i) {
                took += take(sources[queue.front()]);
                queue.pop_front();
            }
            turn.now += took;
            arrive(took);
            if (price.note_batch(full, turn.now)) {
                price.look({.held = static_cast<std::uint32_t>(queue.size() * datagram),
                            .room = queue_room},
                           turn.now);
            }
        }
    }

    std::chrono::nanoseconds take(Source& source) {
        const dotproxy::Standing standing{.network = 0, .near = true};
        if (price.price().count() > 0 && !gate.pay(source.address, standing, price.price())) {
            price.note_dropped();
            return drop_takes;
        }
        price.note_taken(true);
        ++source.answered;
        return answer_takes;
    }

    void arrive(std::chrono::nanoseconds in) {
        const double seconds = std::chrono::duration<double>{in}.count();
        for (std::size_t group = 0; group < per_second.size(); ++group) {
            std::poisson_distribution<std::uint32_t> count{per_second[group] * seconds};
            coming.insert(coming.end(), count(random), static_cast<std::uint32_t>(group));
        }
        std::shuffle(coming.begin(), coming.end(), random);
        for (const std::uint32_t group : coming) {
            const std::uint32_t who = group == 0 ? any_of(random) : innocents + one_of(random);
            ++sources[who].asked;
            if (queue.size() * datagram < queue_room) {
                queue.push_back(who);
            }
        }
        coming.clear();
    }

    std::array<double, 2> per_second;
    dotproxy::OnLink on_link;
    dotproxy::LimitsMemory limits;
    dotproxy::CookieSecrets secrets{dotproxy::CookieSecrets::draw()};
    dotproxy::CounterRegion region{1};
    dotproxy::CounterLease counters{region.lease(1, {})};
    dotproxy::Config config{};
    dotproxy::Turn turn{config, counters.slot(0)};
    dotproxy::Gate gate{turn, on_link, limits, secrets};
    QueuePrice price;
    std::vector<Source> sources;
    std::deque<std::uint32_t> queue;
    std::vector<std::uint32_t> coming;
    std::mt19937 random{7766};
    std::uniform_int_distribution<std::uint32_t> any_of{0, innocents - 1};
    std::uniform_int_distribution<std::uint32_t> one_of{0, flooders - 1};
};

/// `goodput`: of what the worker can do.
void expect(double times, double innocents_answered, double goodput) {
    const auto simulation = std::make_unique<Simulation>(times);
    simulation->run();
    print_message("%.1f times: %.1f %% of innocents' questions answered, goodput %.0f %%\n", times,
                  simulation->answered() * 100, simulation->goodput() * 100);
    assert_true(simulation->answered() >= innocents_answered);
    assert_true(simulation->goodput() >= goodput);
}

void test_innocents_when_all_can_be_answered_then_are(void** /*state*/) {
    expect(0.9, 1, 0.9);
}

// limits 28, 59: first come, first served would answer 50 %.
void test_innocents_when_twice_as_much_is_asked_then_nearly_all_answered(void** /*state*/) {
    expect(2, 0.99, 0.7);
}

void test_innocents_when_five_times_as_much_is_asked_then_most_answered(void** /*state*/) {
    expect(5, 0.55, 0.5);
}

void test_innocents_when_ten_times_as_much_is_asked_then_many_answered(void** /*state*/) {
    expect(10, 0.3, 0.5);
}

// limits 28: by who they are, and all the same time, whatever else they have.
void test_pay_when_more_than_a_part_then_not_and_others_do(void** /*state*/) {
    const auto simulation = std::make_unique<Simulation>(1);
    const auto pays = [&](const char* literal, bool near, std::chrono::nanoseconds price) {
        return simulation->gate.pay(Address::parse(literal, 4711).value(),
                                    {.network = 0, .near = near}, price);
    };
    // A part is a second in a second, and 20 ms of it can be had at once.
    int paid = 0;
    for (int i = 0; i < 100'000; ++i) {
        simulation->turn.now += 10us;
        paid += pays("192.168.0.1", true, 100us) ? 1 : 0;
    }
    assert_in_range(paid, 10'198, 10'202);
    assert_true(pays("192.168.0.2", true, 100us));
    // Who is local counts alone; beyond, a /64 is one.
    while (pays("2001:db8::1", true, 100us) || pays("2001:db8:1::1", false, 100us)) {
    }
    assert_true(pays("2001:db8::2", true, 100us));
    assert_false(pays("2001:db8:1::2", false, 100us));
    assert_true(pays("2001:db8:1:1::2", false, 100us));
    // At the highest price, two questions of anybody.
    assert_true(pays("192.168.0.9", true, QueuePrice::highest));
    assert_true(pays("192.168.0.9", true, QueuePrice::highest));
    assert_false(pays("192.168.0.9", true, QueuePrice::highest));
}

// limits 20, 28: who is dropped unread has asked all the same, and is known if that is too much.
void test_pay_when_refused_then_an_offence_if_over_its_rate_too(void** /*state*/) {
    const auto simulation = std::make_unique<Simulation>(1);
    simulation->config.limits.mode = dotproxy::LimitsConfig::Mode::on;
    simulation->config.limits.client_rate = 100;
    dotproxy::Gate gate{simulation->turn, simulation->on_link, simulation->limits,
                        simulation->secrets};
    const Address flooder = Address::parse("192.168.0.1", 4711).value();
    const Address busy = Address::parse("192.168.0.2", 4711).value();
    unsigned refused = 0;
    for (int i = 0; i < 1000; ++i) {
        refused += gate.pay(flooder, {.network = 0}, QueuePrice::highest) ? 0U : 1U;
    }
    for (int i = 0; i < 100; ++i) { // which is less than may be asked at once
        static_cast<void>(gate.pay(busy, {.network = 0}, QueuePrice::highest));
    }
    const auto offenders = simulation->limits.offenders().all();
    assert_int_equal(offenders.size(), 1);
    assert_true(offenders[0].culprit.prefix == *dotproxy::Prefix::parse("192.168.0.1"));
    assert_true(offenders[0].culprit.offence == dotproxy::Offence::question);
    assert_in_range(offenders[0].over, refused - 201, refused - 199);
    assert_true(gate.take_alarm());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_pay_when_refused_then_an_offence_if_over_its_rate_too),
        cmocka_unit_test(test_pay_when_more_than_a_part_then_not_and_others_do),
        cmocka_unit_test(test_innocents_when_all_can_be_answered_then_are),
        cmocka_unit_test(test_innocents_when_twice_as_much_is_asked_then_nearly_all_answered),
        cmocka_unit_test(test_innocents_when_five_times_as_much_is_asked_then_most_answered),
        cmocka_unit_test(test_innocents_when_ten_times_as_much_is_asked_then_many_answered),
    };
    return cmocka_run_group_tests_name("front/overload", tests, nullptr, nullptr);
}
