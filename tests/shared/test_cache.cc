// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/cache.hh"

#include "shared/self_describing.hh"
#include "unit.hh"

#include <ctime>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace dotproxy;
using namespace dotproxy::test;

namespace {

constexpr std::size_t size = CacheMemory::smallest;
constexpr std::uint64_t now = stored_at(0);
constexpr std::size_t small = 30;

Stored put(Cache& cache, std::uint64_t number, std::uint32_t version, std::size_t value = small) {
    Sample sample{number, version, value};
    return cache.insert(sample.entry(), now);
}

// The version found under a key, -1 for nothing, -2 for what was never inserted.
std::int64_t get(Cache& cache, std::uint64_t number) {
    const Octets key = key_of(number);
    const std::optional<Entry> found = cache.find(key);
    if (!found) {
        return -1;
    }
    const std::int64_t version = version_of(*found, key);
    return version < 0 ? -2 : version;
}

void test_find_when_inserted_then_the_same(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    for (std::uint64_t i = 0; i < 1000; ++i) {
        assert_int_equal(get(cache, i), -1);
        assert_int_equal(put(cache, i, 5), Stored::yes);
    }
    for (std::uint64_t i = 0; i < 1000; ++i) {
        assert_int_equal(get(cache, i), 5);
    }
}

std::size_t resident_pages(const CacheMemory& memory) {
    struct stat status {};

    assert_int_equal(::fstat(memory.fd(), &status), 0);
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return static_cast<std::size_t>(status.st_blocks) * 512 / page;
}

// What is resident follows what is stored: hashes are everywhere, but not in the whole of the
// index.
void test_insert_when_names_are_few_then_so_are_pages(void** /*state*/) {
    const CacheMemory memory{64 * size, 1};
    Cache cache{memory, 0};
    const std::size_t most = 5 * memory.shards();
    for (unsigned round = 0; round < 2; ++round) {
        for (std::uint64_t i = 0; i < 1000; ++i) {
            assert_int_equal(get(cache, i), -1);
            assert_int_equal(put(cache, i, 5), Stored::yes);
        }
        assert_true(resident_pages(memory) < most);
        // Neither does who looks at all of the index make it larger.
        assert_int_equal(cache.stats().entries, 1000);
        assert_true(resident_pages(memory) < most);
        assert_true(memory.give_back());
    }
}

void test_insert_when_the_key_is_there_then_replaced(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    assert_int_equal(put(cache, 1, 5), Stored::yes);
    assert_int_equal(put(cache, 1, 6, 3000), Stored::yes);
    assert_int_equal(get(cache, 1), 6);
    assert_int_equal(cache.stats().entries, 1);
}

void test_insert_when_too_big_then_said(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    assert_int_equal(put(cache, 1, 5, Shard::max_entry), Stored::too_big);
    assert_int_equal(get(cache, 1), -1);
}

void test_find_when_another_view_inserted_then_found(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache one{memory, 0};
    Cache other{memory, 0};
    assert_int_equal(put(one, 1, 5), Stored::yes);
    assert_int_equal(get(other, 1), 5);
    assert_int_equal(put(other, 1, 6), Stored::yes);
    assert_int_equal(get(one, 1), 6);
    // Each has a buffer of its own.
    const Octets key = key_of(1);
    const std::optional<Entry> found = one.find(key);
    assert_int_equal(put(other, 2, 5), Stored::yes);
    assert_int_equal(get(other, 2), 5);
    assert_true(found.has_value());
    assert_int_equal(version_of(*found, key), 6);
}

void test_find_when_another_process_inserted_and_is_gone_then_found(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(put(cache, 1, 5) == Stored::yes ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(::waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(get(cache, 1), 5);
}

void test_insert_when_expired_for_too_long_then_not_kept_for_its_use(void** /*state*/) {
    const CacheMemory memory{size, 1};
    for (const std::uint64_t max_stale : {std::uint64_t{0}, std::uint64_t{1'000'000}}) {
        Cache cache{memory, max_stale};
        assert_int_equal(put(cache, 1, 1), Stored::yes); // lives for a second
        const std::uint64_t late = now + 10'000;
        for (std::uint64_t i = 2; i < 20'000; ++i) {
            (void)get(cache, 1);
            Sample sample{i, 1'000'000, small};
            assert_int_equal(cache.insert(sample.entry(), late), Stored::yes);
        }
        assert_int_equal(get(cache, 1), max_stale == 0 ? -1 : 1);
    }
}

void test_claim_then_nobody_else_until_then(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    Cache other{memory, 0};
    const Octets key = key_of(1);
    assert_true(cache.claim(key, 1000, 3000));
    assert_false(cache.claim(key, 1000, 3000));
    assert_false(other.claim(key, 2999, 4999));
    assert_true(other.claim(key, 3000, 5000));
    assert_false(cache.claim(key, 4999, 6999));
}

void test_claim_when_for_another_key_then_granted(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    std::size_t granted = 0;
    for (std::uint64_t i = 0; i < 100; ++i) {
        granted += cache.claim(key_of(i), 1000, 3000) ? 1U : 0U;
    }
    assert_true(granted >= 90); // 100 keys on 4096 words: one or two meet
}

// Workers look at the clock once a turn: who asks may be behind who holds it.
void test_claim_when_the_holder_is_ahead_then_not_granted(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    const Octets key = key_of(1);
    assert_true(cache.claim(key, 1005, 3005));
    assert_false(cache.claim(key, 1000, 3000));
}

// L66: nobody waits for what can only have been scribbled.
void test_claim_when_held_until_the_far_future_then_granted(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    for (std::atomic<std::uint64_t>& claim : memory.claims()) {
        claim = ~std::uint64_t{0};
    }
    assert_true(cache.claim(key_of(1), 1000, 3000));
    assert_false(cache.claim(key_of(1), 1000, 3000));
}

void test_release_then_free_at_once(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    const Octets key = key_of(1);
    assert_true(cache.claim(key, 1000, 3000));
    cache.release(key, 3000);
    assert_true(cache.claim(key, 1001, 3001));
    cache.release(key, 3001);
}

void test_release_when_somebody_else_holds_it_then_it_stays(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    const Octets key = key_of(1);
    assert_true(cache.claim(key, 1000, 3000));
    assert_true(cache.claim(key, 3500, 5500)); // the first took too long
    cache.release(key, 3000);
    assert_false(cache.claim(key, 3501, 5501));
}

void test_end_failures_then_for_all_and_never_earlier(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    const Cache other{memory, 0};
    assert_int_equal(other.failures_ended(now), 0);
    cache.end_failures(now);
    assert_int_equal(other.failures_ended(now), now);
    cache.end_failures(now - 1); // by one who looked at the clock before
    assert_int_equal(other.failures_ended(now), now);
    cache.end_failures(now + 1);
    assert_int_equal(other.failures_ended(now), now + 1); // to one who did
    cache.end_failures(now + 5000);
    cache.end_failures(now + 2); // by one who stood still since then
    assert_int_equal(other.failures_ended(now), now + 5000);
}

// L66: what can only have been scribbled is no time, and does not stay.
void test_end_failures_when_the_far_future_is_there_then_not_believed(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    for (const std::uint64_t far : {now + 10'001, ~std::uint64_t{0}}) {
        memory.failures_ended() = far;
        assert_int_equal(cache.failures_ended(now), 0);
        cache.end_failures(now);
        assert_int_equal(cache.failures_ended(now), now);
    }
}

void test_flush_then_what_is_unwanted_is_gone_from_all_shards(void** /*state*/) {
    const CacheMemory memory{4 * size, 1};
    Cache cache{memory, 0};
    for (std::uint64_t i = 0; i < 1000; ++i) {
        assert_int_equal(put(cache, i, 5), Stored::yes);
    }
    std::size_t seen = 0;
    const std::size_t removed = cache.flush([&](const Entry& entry) {
        ++seen;
        return version_of(entry, entry.key) == 5 && entry.key[0] < 64;
    });
    assert_int_equal(seen, 1000);
    assert_int_equal(removed, 64 * 3 + 64);
    for (std::uint64_t i = 0; i < 1000; ++i) {
        assert_int_equal(get(cache, i), i % 256 < 64 ? -1 : 5);
    }
    assert_int_equal(cache.flush([](const Entry&) { return true; }), 1000 - removed);
    assert_int_equal(cache.stats().entries, 0);
    assert_int_equal(cache.flush([](const Entry&) { return true; }), 0);
}

void test_stats_when_empty_then_sizes_alone(void** /*state*/) {
    const CacheMemory memory{size, 1};
    const CacheStats stats = Cache{memory, 0}.stats();
    assert_int_equal(stats.size, size);
    assert_int_equal(stats.capacity, memory.capacity());
    assert_int_equal(stats.shards, 2);
    assert_int_equal(stats.octets + stats.entries + stats.insertions + stats.evictions, 0);
    assert_int_equal(stats.fewest + stats.most, 0);
}

void test_stats_when_filled_then_they_add_up(void** /*state*/) {
    const CacheMemory memory{8 * size, 1};
    Cache cache{memory, 0};
    for (std::uint64_t i = 0; i < 5000; ++i) {
        assert_int_equal(put(cache, i, 5, 32), Stored::yes);
    }
    (void)put(cache, 1, 6, 32);
    (void)put(cache, 1, 6, Shard::max_entry); // not stored: not counted
    const CacheStats stats = cache.stats();
    assert_int_equal(stats.shards, 16);
    assert_int_equal(stats.entries, 5000);
    assert_int_equal(stats.insertions, 5001);
    assert_int_equal(stats.evictions, 0);
    assert_int_equal(stats.octets, 5001 * (24 + 8 + 32));
    // The secret decides, but 5000 keys on 16 shards are never far from 312 each.
    assert_in_range(stats.fewest, 200, 312);
    assert_in_range(stats.most, 313, 430);
}

void test_stats_when_more_than_fits_then_bounded(void** /*state*/) {
    const CacheMemory memory{size, 1};
    Cache cache{memory, 0};
    for (std::uint64_t i = 0; i < 20'000; ++i) {
        assert_int_equal(put(cache, i, 5, 64), Stored::yes);
    }
    const CacheStats stats = cache.stats();
    assert_int_equal(stats.insertions, 20'000);
    assert_int_equal(stats.entries + stats.evictions, 20'000);
    assert_true(stats.octets <= stats.capacity);
    assert_true(stats.octets > stats.capacity * 99 / 100);
    assert_true(stats.entries <= stats.capacity / 96);
    assert_true(stats.entries > stats.capacity / 96 * 9 / 10);
}

// It goes on while the machine sleeps, and is the same in all processes.
void test_uptime_then_the_boot_clock_in_milliseconds(void** /*state*/) {
    const auto boot = [] {
        timespec time{};
        ::clock_gettime(CLOCK_BOOTTIME, &time);
        return static_cast<std::uint64_t>(time.tv_sec) * 1000 +
               static_cast<std::uint64_t>(time.tv_nsec) / 1'000'000;
    };
    const std::uint64_t before = boot();
    const std::uint64_t uptime = Cache::uptime();
    assert_in_range(uptime, before, boot());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_find_when_inserted_then_the_same),
        cmocka_unit_test(test_insert_when_names_are_few_then_so_are_pages),
        cmocka_unit_test(test_insert_when_the_key_is_there_then_replaced),
        cmocka_unit_test(test_insert_when_too_big_then_said),
        cmocka_unit_test(test_find_when_another_view_inserted_then_found),
        cmocka_unit_test(test_find_when_another_process_inserted_and_is_gone_then_found),
        cmocka_unit_test(test_insert_when_expired_for_too_long_then_not_kept_for_its_use),
        cmocka_unit_test(test_claim_then_nobody_else_until_then),
        cmocka_unit_test(test_claim_when_for_another_key_then_granted),
        cmocka_unit_test(test_claim_when_the_holder_is_ahead_then_not_granted),
        cmocka_unit_test(test_claim_when_held_until_the_far_future_then_granted),
        cmocka_unit_test(test_release_then_free_at_once),
        cmocka_unit_test(test_release_when_somebody_else_holds_it_then_it_stays),
        cmocka_unit_test(test_end_failures_then_for_all_and_never_earlier),
        cmocka_unit_test(test_end_failures_when_the_far_future_is_there_then_not_believed),
        cmocka_unit_test(test_flush_then_what_is_unwanted_is_gone_from_all_shards),
        cmocka_unit_test(test_stats_when_empty_then_sizes_alone),
        cmocka_unit_test(test_stats_when_filled_then_they_add_up),
        cmocka_unit_test(test_stats_when_more_than_fits_then_bounded),
        cmocka_unit_test(test_uptime_then_the_boot_clock_in_milliseconds),
    };
    return cmocka_run_group_tests_name("shared/cache", tests, nullptr, nullptr);
}
