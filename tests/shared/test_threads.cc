// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The cache under threads that all read, write and flush at once, each through a view of its own,
// and limits that all charge. In the program these are processes; as threads they are what
// ThreadSanitizer can watch, and every value found must be some complete insertion to the octet.

#include "shared/cache.hh"
#include "shared/meter_rig.hh"
#include "shared/self_describing.hh"

#include "unit.hh"

#include <array>
#include <atomic>
#include <barrier>
#include <functional>
#include <thread>

using namespace dotproxy;
using namespace dotproxy::test;

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t turns = 40'000; // each takes many times as long
#else
constexpr std::uint64_t turns = 400'000;
#endif

constexpr std::uint64_t hot_keys = 16;
constexpr std::uint64_t cold_keys = 4000;

/// What a thread saw.
struct Tally {
    std::uint64_t found{0};
    std::uint64_t torn{0};
    std::uint64_t stored{0};
    std::uint64_t busy{0};
};

// A few keys are in demand, so that entries are moved on and read while they move. Values are up to
// 2000 octets long: the rings turn many times.
void work(const CacheMemory& memory, std::uint64_t seed, Tally& tally) {
    Cache cache{memory, 0};
    for (std::uint64_t i = 0; i < turns; ++i) {
        const std::uint64_t dice = draw(seed);
        const std::uint64_t number =
            dice % 4 != 0 ? draw(seed) % hot_keys : hot_keys + draw(seed) % cold_keys;
        if (dice / 4 % 3 == 0) {
            Sample sample{number, static_cast<std::uint32_t>(i),
                          sizeof(ValueHead) + draw(seed) % 2000};
            const Stored stored = cache.insert(sample.entry(), stored_at(0));
            tally.stored += stored == Stored::yes ? 1U : 0U;
            tally.busy += stored == Stored::busy ? 1U : 0U;
            continue;
        }
        const Octets key = key_of(number);
        if (const std::optional<Entry> entry = cache.find(key)) {
            ++tally.found;
            tally.torn += version_of(*entry, key) < 0 ? 1U : 0U;
        }
        if (dice % 4001 == 0) {
            (void)memory.give_back();
        }
        if (dice % 2003 == 0) {
            cache.flush([&](const Entry& entry) {
                tally.torn += version_of(entry, entry.key) < 0 ? 1U : 0U;
                return entry.key[0] % 16 == 0;
            });
        }
    }
}

void test_cache_when_used_by_threads_then_no_value_is_torn(void** /*state*/) {
    const CacheMemory memory{CacheMemory::smallest, 1};
    std::array<Tally, 4> tallies{};
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < tallies.size(); ++i) {
            threads.emplace_back(work, std::cref(memory), i, std::ref(tallies[i]));
        }
    }
    std::uint64_t stored = 0;
    std::uint64_t busy = 0;
    for (const Tally& tally : tallies) {
        assert_true(tally.found > 0);
        assert_true(tally.stored > 0);
        assert_int_equal(tally.torn, 0);
        stored += tally.stored;
        busy += tally.busy;
    }
    const CacheStats stats = Cache{memory, 0}.stats();
    assert_int_equal(stats.insertions, stored);
    assert_true(stats.evictions > 0); // the rings turned
    print_message("# %llu stored, %llu found somebody else at it\n", 1ULL * stored, 1ULL * busy);
}

// One refresh at a time: of all who see an entry near its end at once, exactly one may claim it.
void test_claim_when_all_threads_try_then_one_has_it(void** /*state*/) {
    constexpr std::uint64_t rounds = 500;
    constexpr std::ptrdiff_t thread_count = 4;
    const CacheMemory memory{CacheMemory::smallest, 1};
    std::barrier round_begins{thread_count};
    std::atomic<std::uint64_t> claimed{0};
    {
        std::vector<std::jthread> threads;
        for (std::ptrdiff_t i = 0; i < thread_count; ++i) {
            threads.emplace_back([&] {
                Cache cache{memory, 0};
                const Octets key = key_of(1);
                for (std::uint64_t now = 100; now <= rounds * 100; now += 100) {
                    round_begins.arrive_and_wait();
                    claimed += cache.claim(key, now, now + 100) ? 1U : 0U;
                }
            });
        }
    }
    assert_int_equal(claimed.load(), rounds);
}

// Rule 54. All want more of one budget than there is, and of others whose line they fill, by a
// clock that they move on together.
void test_charge_when_threads_want_the_same_then_together_they_have_the_limit(void** /*state*/) {
    using std::chrono::microseconds;
    constexpr std::int64_t duration = turns; // microseconds
    const LimitsMemory memory;
    const Budget wanted = budget_of(sources_in(memory, memory.lines()[98], 1).front(),
                                    Rate::of(100'000, microseconds{10'000}));
    const std::vector<std::uint32_t> crowd = sources_in(memory, memory.lines()[99], 12);
    std::atomic<std::int64_t> clock{0};
    std::atomic<std::uint64_t> had{0};
    {
        std::vector<std::jthread> threads;
        for (std::uint64_t seed = 0; seed < 3; ++seed) {
            threads.emplace_back([&, seed]() mutable {
                Meter meter{memory};
                for (std::int64_t time = 0; time < duration; time = ++clock) {
                    const TimePoint now{std::chrono::hours{1} + microseconds{time}};
                    const std::uint32_t source = crowd[draw(seed) % crowd.size()];
                    had += passes(meter, wanted, now) ? 1U : 0U;
                    meter.debit(std::array{budget_of(source, wanted.rate)}, now, 1);
                }
            });
        }
    }
    constexpr std::uint64_t limit = (duration + 10'000) / 10;
    assert_in_range(had.load(), limit - limit / 50, limit + limit / 50);
    print_message("# %llu of %llu\n", 1ULL * had.load(), 1ULL * limit);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_when_used_by_threads_then_no_value_is_torn),
        cmocka_unit_test(test_claim_when_all_threads_try_then_one_has_it),
        cmocka_unit_test(test_charge_when_threads_want_the_same_then_together_they_have_the_limit),
    };
    return cmocka_run_group_tests_name("shared/threads", tests, nullptr, nullptr);
}
