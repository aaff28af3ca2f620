// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/shard_rig.hh"

#include "unit.hh"

#include <pthread.h>
#include <sys/wait.h>
#include <tuple>
#include <unistd.h>
#include <utility>

using namespace dotproxy;
using namespace dotproxy::test;

namespace {

// An entry takes 3 words of header, one of key and what its value needs: 16 octets are 6 words.
constexpr std::uint64_t ring = 128;
constexpr std::size_t small = 16;

ShardRig make(std::uint32_t buckets = 8, std::uint64_t words = ring) {
    return ShardRig{{.buckets = buckets, .ring_words = words}};
}

void fill(ShardRig& rig, std::uint64_t from, std::uint64_t to, std::size_t size = small) {
    for (std::uint64_t i = from; i < to; ++i) {
        assert_int_equal(rig.put(i, 1, size), Stored::yes);
    }
}

void test_find_when_empty_then_nothing(void** /*state*/) {
    ShardRig rig = make();
    assert_true(rig.ready);
    assert_int_equal(rig.get(1), -1);
    assert_int_equal(rig.shard.entries(), 0);
    assert_int_equal(rig.shard.octets(), 0);
    assert_int_equal(rig.shard.insertions(), 0);
    assert_int_equal(rig.shard.evictions(), 0);
}

void test_insert_then_all_of_it_is_found(void** /*state*/) {
    ShardRig rig = make();
    const Octets key{1, 2, 3};
    Octets value{4, 5, 6, 7, 8, 9};
    const Entry entry{.key = key, .value = value, .stored_at = 0xfedcba987654U, .ttl = 0xffffffffU};
    assert_int_equal(rig.shard.insert(1, entry, 0, 0), Stored::yes);
    const std::optional<Entry> found = rig.shard.find(1, key);
    assert_true(found.has_value());
    assert_true(std::ranges::equal(found->key, key));
    assert_true(std::ranges::equal(found->value, value));
    assert_int_equal(found->stored_at, 0xfedcba987654U);
    assert_int_equal(found->ttl, 0xffffffffU);
    assert_int_equal(found->expires_at(), 0xfedcba987654U + 0xffffffffU * std::uint64_t{1000});
    assert_int_equal(rig.shard.entries(), 1);
    assert_int_equal(rig.shard.octets(), (3 + 2) * 8);
    assert_int_equal(rig.shard.insertions(), 1);
}

// What is found is a copy: the caller patches it, and nobody else sees that.
void test_find_when_the_value_is_changed_then_only_the_copy_is(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 1);
    const Octets key = key_of(0);
    const std::optional<Entry> found = rig.shard.find(rig.hash(key), key);
    assert_true(found.has_value());
    std::ranges::fill(found->value, std::uint8_t{0});
    assert_int_equal(rig.get(0), 1);
}

void test_insert_when_sizes_end_anywhere_in_a_word_then_found_exactly(void** /*state*/) {
    ShardRig rig = make(8, 1024);
    for (std::size_t key_size = 0; key_size <= 17; ++key_size) {
        for (std::size_t value_size = 0; value_size <= 17; ++value_size) {
            const Octets key(key_size, 0xff);
            Octets value(value_size, 0xee);
            const Entry entry{.key = key, .value = value, .stored_at = 9, .ttl = 77};
            assert_int_equal(rig.shard.insert(5, entry, 9, 0), Stored::yes);
            const std::optional<Entry> found = rig.shard.find(5, key);
            assert_true(found.has_value());
            assert_true(std::ranges::equal(found->key, key));
            assert_true(std::ranges::equal(found->value, value));
            assert_int_equal(found->ttl, 77);
            assert_int_equal(found->stored_at, 9);
        }
    }
}

void test_insert_when_the_key_is_too_long_then_too_big(void** /*state*/) {
    ShardRig rig = make(8, 1024);
    Sample longest{1, 2, small, Shard::max_key};
    Sample longer{2, 2, small, Shard::max_key + 1};
    assert_int_equal(rig.shard.insert(1, longest.entry(), 0, 0), Stored::yes);
    assert_int_equal(rig.shard.insert(1, longer.entry(), 0, 0), Stored::too_big);
    const std::optional<Entry> found = rig.shard.find(1, longest.key);
    assert_true(found.has_value());
    assert_int_equal(version_of(*found, longest.key), 2);
    assert_false(rig.shard.find(1, longer.key).has_value());
    assert_int_equal(rig.shard.insertions(), 1);
}

void test_insert_when_more_than_a_quarter_of_the_ring_then_too_big(void** /*state*/) {
    ShardRig rig = make();
    constexpr std::size_t most = (ring / 4 - 4) * 8;
    assert_int_equal(rig.put(1, 1, most), Stored::yes);
    assert_int_equal(rig.put(1, 2, most + 1), Stored::too_big);
    assert_int_equal(rig.get(1), 1);
}

void test_insert_when_larger_than_a_buffer_then_too_big(void** /*state*/) {
    ShardRig rig = make(8, 8 * std::tuple_size_v<EntryBuffer>);
    constexpr std::size_t most = Shard::max_entry - 4 * 8;
    assert_int_equal(rig.put(1, 1, most), Stored::yes);
    assert_int_equal(rig.get(1), 1);
    assert_int_equal(rig.put(1, 2, most + 1), Stored::too_big);
    assert_int_equal(rig.get(1), 1);
}

void test_insert_when_the_key_is_there_then_replaced(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 3);
    for (std::uint32_t version = 2; version < 8; ++version) {
        assert_int_equal(rig.put(1, version, small + version), Stored::yes);
        assert_int_equal(rig.get(1), version);
        assert_int_equal(rig.shard.entries(), 3);
    }
    assert_int_equal(rig.get(0), 1);
    assert_int_equal(rig.get(2), 1);
    assert_int_equal(rig.shard.evictions(), 0);
}

// L19: a hash says where to look, never that it was found.
void test_find_when_all_hashes_are_equal_then_only_the_same_key(void** /*state*/) {
    ShardRig rig = make();
    for (std::uint32_t i = 0; i < 8; ++i) {
        Sample sample{i, i + 1, small};
        assert_int_equal(rig.shard.insert(42, sample.entry(), 0, 0), Stored::yes);
    }
    for (std::uint32_t i = 0; i < 8; ++i) {
        const Octets key = key_of(i);
        const std::optional<Entry> found = rig.shard.find(42, key);
        assert_true(found.has_value());
        assert_int_equal(version_of(*found, key), i + 1);
    }
    assert_false(rig.shard.find(42, key_of(8)).has_value());
    assert_false(rig.shard.find(42, key_of(0, 9)).has_value()); // longer by an octet
    const Octets key = key_of(0);
    assert_false(rig.shard.find(42, std::span{key}.first(7)).has_value());
}

void test_insert_when_the_bucket_is_full_then_the_oldest_unused_goes(void** /*state*/) {
    ShardRig rig = make(1);
    fill(rig, 0, 8);
    assert_int_equal(rig.get(0), 1); // used
    fill(rig, 8, 9);
    assert_int_equal(rig.shard.entries(), 8);
    assert_int_equal(rig.shard.evictions(), 1);
    assert_int_equal(rig.get(0), 1);
    assert_int_equal(rig.get(1), -1);
    for (std::uint64_t i = 2; i < 9; ++i) {
        assert_int_equal(rig.get(i), 1);
    }
    // Now all are in use: the oldest of these goes.
    fill(rig, 9, 10);
    assert_int_equal(rig.get(0), -1);
    assert_int_equal(rig.shard.entries(), 8);
}

void test_insert_when_the_ring_is_full_then_the_oldest_goes(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 22); // 21 fit, and leave 2 words
    assert_int_equal(rig.get(0), -1);
    for (std::uint64_t i = 1; i < 22; ++i) {
        assert_int_equal(rig.get(i), 1);
    }
    assert_int_equal(rig.shard.evictions(), 1);
    assert_int_equal(rig.shard.entries(), 21);
    assert_int_equal(rig.shard.octets(), ring * 8);
}

void test_insert_when_the_ring_turns_often_then_what_is_there_is_whole(void** /*state*/) {
    ShardRig rig = make(8, 256);
    std::uint64_t seed = 1;
    for (std::uint32_t i = 0; i < 20'000; ++i) {
        assert_int_equal(rig.put(i % 50, i, small + draw(seed) % 200), Stored::yes);
        assert_int_equal(rig.get(i % 50), i);
        assert_true(rig.get(draw(seed) % 50) != -2);
        assert_true(rig.shard.octets() <= 256 * 8);
    }
}

void test_insert_when_the_oldest_is_in_use_then_moved_on_once(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 21);
    assert_int_equal(rig.get(0), 1);
    fill(rig, 21, 41); // all others leave
    assert_int_equal(rig.get(5), -1);
    // It was not used again after it was moved: it leaves with the next turn.
    fill(rig, 41, 62);
    assert_int_equal(rig.get(0), -1);
}

void test_insert_when_one_is_always_in_use_then_it_stays(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 1);
    for (std::uint64_t i = 1; i < 1000; ++i) {
        fill(rig, i, i + 1);
        assert_int_equal(rig.get(0), 1);
    }
}

// What moves on for one insertion is bounded by its size; a large entry is not lost for that.
void test_insert_when_a_large_one_is_in_use_then_small_ones_move_it_on(void** /*state*/) {
    ShardRig rig = make(8, 1024);
    constexpr std::size_t most = (1024 / 4 - 4) * 8;
    assert_int_equal(rig.put(0, 1, most), Stored::yes);
    for (std::uint64_t i = 1; i < 1000; ++i) {
        fill(rig, i, i + 1);
        assert_int_equal(rig.get(0), 1);
    }
}

void test_insert_when_all_are_in_use_then_some_go_nevertheless(void** /*state*/) {
    ShardRig rig = make(32, 1024);
    fill(rig, 0, 170); // 6 words each
    const std::size_t before = rig.shard.entries();
    for (std::uint64_t i = 0; i < 170; ++i) {
        (void)rig.get(i);
    }
    const std::uint64_t head = rig.head().head.load();
    fill(rig, 200, 201);
    assert_int_equal(rig.get(200), 1);
    assert_true(rig.shard.entries() <= before + 1);
    // 8 times its size, one entry more, the filler and itself.
    assert_true(rig.head().head.load() - head <= (8 + 1 + 1 + 1) * 6);
}

void test_insert_when_the_oldest_was_replaced_then_not_moved_on(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 1);
    assert_int_equal(rig.get(0), 1);
    assert_int_equal(rig.put(0, 2, small), Stored::yes);
    fill(rig, 1, 20);
    assert_int_equal(rig.shard.evictions(), 0);
    fill(rig, 20, 21); // takes the words of version 1
    assert_int_equal(rig.shard.evictions(), 0);
    assert_int_equal(rig.get(0), 2);
}

// Entries of 1 s at the tail: what is past all use is dropped though it was in demand.
void check_expiry(std::uint64_t now, std::uint64_t max_stale, bool moved) {
    ShardRig rig = make();
    fill(rig, 0, 21); // ttl 1, stored at stored_at(1)
    assert_int_equal(rig.get(0), 1);
    rig.now = now;
    rig.max_stale = max_stale;
    fill(rig, 21, 22);
    assert_int_equal(rig.get(0), moved ? 1 : -1);
    // Nobody misses what has expired: it is not counted among the evicted.
    assert_int_equal(rig.shard.evictions(), moved ? 1 : 0);
}

void test_insert_when_the_oldest_has_expired_then_not_moved_on(void** /*state*/) {
    constexpr std::uint64_t end = stored_at(1) + 1000;
    check_expiry(end - 1, 0, true);
    check_expiry(end, 0, false);
    check_expiry(end, 1, true);
    check_expiry(end + 5000, 5001, true);
    check_expiry(end + 5000, 5000, false);
}

void test_find_when_expired_then_found_all_the_same(void** /*state*/) {
    ShardRig rig = make();
    rig.now = stored_at(1) + 1'000'000;
    fill(rig, 0, 1);
    assert_int_equal(rig.get(0), 1);
}

void test_insert_when_the_mutex_is_taken_then_busy_and_found_as_before(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 1);
    assert_int_equal(::pthread_mutex_lock(&rig.head().mutex), 0);
    assert_int_equal(rig.put(0, 2, small), Stored::busy);
    assert_int_equal(rig.put(1, 1, small), Stored::busy);
    assert_int_equal(rig.get(0), 1);
    // Neither does a flush need it.
    assert_int_equal(rig.shard.remove_if([](const Entry&) { return true; }), 1);
    assert_int_equal(rig.get(0), -1);
    assert_int_equal(rig.shard.insertions(), 1);
    assert_int_equal(::pthread_mutex_unlock(&rig.head().mutex), 0);
    assert_int_equal(rig.put(1, 1, small), Stored::yes);
}

void die_with_the_mutex(const ShardRig& rig) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(::pthread_mutex_lock(&rig.head().mutex) == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(::waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

void test_insert_when_the_owner_of_the_mutex_is_dead_then_stored_at_once(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 1);
    for (std::uint32_t i = 2; i < 5; ++i) {
        die_with_the_mutex(rig);
        assert_int_equal(rig.get(0), i - 1);
        assert_int_equal(rig.put(0, i, small), Stored::yes);
        assert_int_equal(rig.get(0), i);
    }
}

void test_prepare_when_the_mutex_is_rubbish_then_usable(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 3);
    std::ranges::fill(rig.memory().first(sizeof(pthread_mutex_t)), std::byte{0xff});
    assert_int_equal(rig.shard.prepare(), 0);
    assert_int_equal(rig.get(2), 1);
    assert_int_equal(rig.put(3, 1, small), Stored::yes);
}

// Positions that make no sense: the shard begins afresh, and nothing of before is found.
void check_positions(std::uint64_t head, std::uint64_t tail) {
    ShardRig rig = make();
    fill(rig, 0, 9);
    rig.head().head = head;
    rig.head().tail = tail;
    assert_true(rig.get(3) != -2);
    assert_int_equal(rig.put(20, 1, small), Stored::yes);
    assert_int_equal(rig.get(20), 1);
    assert_int_equal(rig.shard.entries(), 1);
    assert_int_equal(rig.shard.octets(), 6 * 8);
}

void test_insert_when_positions_were_scribbled_over_then_afresh(void** /*state*/) {
    constexpr std::uint64_t most = ~std::uint64_t{0};
    check_positions(0, 0);
    check_positions(most, most);
    check_positions(most, ring);
    check_positions(ring, most);
    check_positions(ring + 1, ring + 2); // the tail before the head
    check_positions(3 * ring, ring);     // more than the ring holds
    check_positions(ring - 1, ring - 1); // a position that empty slots name
    check_positions(std::uint64_t{1} << 51U, (std::uint64_t{1} << 51U) - 8); // used up
}

void test_insert_when_the_oldest_is_scribbled_over_then_stored(void** /*state*/) {
    for (const std::uint64_t word : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1}}) {
        ShardRig rig = make();
        fill(rig, 0, 21);
        const std::size_t first = rig.memory().size() - ring * 8;
        std::memcpy(&rig.memory()[first], &word, sizeof word);
        assert_int_equal(rig.get(0), -1);
        fill(rig, 21, 30);
        for (std::uint64_t i = 0; i < 30; ++i) {
            assert_true(rig.get(i) != -2);
        }
        assert_int_equal(rig.get(29), 1);
    }
}

// Any octet of an entry that is not what was stored: nothing is found, rather than a wrong answer.
void test_find_when_any_octet_was_scribbled_over_then_nothing(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 1);
    const std::size_t first = rig.memory().size() - ring * 8;
    for (std::size_t i = first; i < first + 48; ++i) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            const auto mask = static_cast<std::byte>(1U << bit);
            rig.memory()[i] ^= mask;
            assert_int_equal(rig.get(0), -1);
            rig.memory()[i] ^= mask;
        }
    }
    assert_int_equal(rig.get(0), 1);
}

void test_remove_if_then_those_and_no_others_are_gone(void** /*state*/) {
    ShardRig rig = make();
    fill(rig, 0, 20);
    (void)rig.get(4); // used or not makes no difference
    std::size_t seen = 0;
    const std::size_t removed = rig.shard.remove_if([&](const Entry& entry) {
        ++seen;
        return version_of(entry, entry.key) == 1 && entry.key[0] % 2 == 0;
    });
    assert_int_equal(seen, 20);
    assert_int_equal(removed, 10);
    assert_int_equal(rig.shard.entries(), 10);
    for (std::uint64_t i = 0; i < 20; ++i) {
        assert_int_equal(rig.get(i), i % 2 == 0 ? -1 : 1);
    }
    assert_int_equal(rig.shard.evictions(), 0);
    fill(rig, 0, 1);
    assert_int_equal(rig.get(0), 1);
}

// A writer may move an entry, or a reader mark it, between the look at it and its removal.
void test_remove_if_when_the_entry_moves_meanwhile_then_removed_where_it_is(void** /*state*/) {
    ShardRig rig = make();
    auto buffer = std::make_unique<EntryBuffer>();
    Shard other = rig.view(*buffer);
    fill(rig, 0, 21);
    assert_int_equal(rig.get(0), 1);
    bool first = true;
    const std::size_t removed = rig.shard.remove_if([&](const Entry& entry) {
        const bool unwanted = std::ranges::equal(entry.key, key_of(0));
        if (unwanted && std::exchange(first, false)) {
            Sample sample{30, 1, small};
            assert_int_equal(other.insert(rig.hash(sample.key), sample.entry(), rig.now, 0),
                             Stored::yes);
        }
        return unwanted;
    });
    assert_int_equal(removed, 1);
    assert_int_equal(rig.get(0), -1);
}

void test_remove_if_when_a_reader_uses_it_meanwhile_then_removed(void** /*state*/) {
    ShardRig rig = make();
    auto buffer = std::make_unique<EntryBuffer>();
    Shard other = rig.view(*buffer);
    fill(rig, 0, 1);
    const Octets key = key_of(0);
    const std::size_t removed = rig.shard.remove_if(
        [&](const Entry&) { return other.find(rig.hash(key), key).has_value(); });
    assert_int_equal(removed, 1);
    assert_int_equal(rig.get(0), -1);
}

// It must not be followed for ever.
void test_remove_if_when_always_replaced_meanwhile_then_it_ends(void** /*state*/) {
    ShardRig rig = make();
    auto buffer = std::make_unique<EntryBuffer>();
    Shard other = rig.view(*buffer);
    fill(rig, 0, 1);
    std::uint32_t version = 1;
    const std::size_t removed = rig.shard.remove_if([&](const Entry&) {
        Sample sample{0, ++version, small};
        assert_int_equal(other.insert(rig.hash(sample.key), sample.entry(), rig.now, 0),
                         Stored::yes);
        return true;
    });
    assert_int_equal(removed, 0);
    assert_int_equal(rig.get(0), version);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_find_when_empty_then_nothing),
        cmocka_unit_test(test_insert_then_all_of_it_is_found),
        cmocka_unit_test(test_find_when_the_value_is_changed_then_only_the_copy_is),
        cmocka_unit_test(test_insert_when_sizes_end_anywhere_in_a_word_then_found_exactly),
        cmocka_unit_test(test_insert_when_the_key_is_too_long_then_too_big),
        cmocka_unit_test(test_insert_when_more_than_a_quarter_of_the_ring_then_too_big),
        cmocka_unit_test(test_insert_when_larger_than_a_buffer_then_too_big),
        cmocka_unit_test(test_insert_when_the_key_is_there_then_replaced),
        cmocka_unit_test(test_find_when_all_hashes_are_equal_then_only_the_same_key),
        cmocka_unit_test(test_insert_when_the_bucket_is_full_then_the_oldest_unused_goes),
        cmocka_unit_test(test_insert_when_the_ring_is_full_then_the_oldest_goes),
        cmocka_unit_test(test_insert_when_the_ring_turns_often_then_what_is_there_is_whole),
        cmocka_unit_test(test_insert_when_the_oldest_is_in_use_then_moved_on_once),
        cmocka_unit_test(test_insert_when_one_is_always_in_use_then_it_stays),
        cmocka_unit_test(test_insert_when_a_large_one_is_in_use_then_small_ones_move_it_on),
        cmocka_unit_test(test_insert_when_all_are_in_use_then_some_go_nevertheless),
        cmocka_unit_test(test_insert_when_the_oldest_was_replaced_then_not_moved_on),
        cmocka_unit_test(test_insert_when_the_oldest_has_expired_then_not_moved_on),
        cmocka_unit_test(test_find_when_expired_then_found_all_the_same),
        cmocka_unit_test(test_insert_when_the_mutex_is_taken_then_busy_and_found_as_before),
        cmocka_unit_test(test_insert_when_the_owner_of_the_mutex_is_dead_then_stored_at_once),
        cmocka_unit_test(test_prepare_when_the_mutex_is_rubbish_then_usable),
        cmocka_unit_test(test_insert_when_positions_were_scribbled_over_then_afresh),
        cmocka_unit_test(test_insert_when_the_oldest_is_scribbled_over_then_stored),
        cmocka_unit_test(test_find_when_any_octet_was_scribbled_over_then_nothing),
        cmocka_unit_test(test_remove_if_then_those_and_no_others_are_gone),
        cmocka_unit_test(test_remove_if_when_the_entry_moves_meanwhile_then_removed_where_it_is),
        cmocka_unit_test(test_remove_if_when_a_reader_uses_it_meanwhile_then_removed),
        cmocka_unit_test(test_remove_if_when_always_replaced_meanwhile_then_it_ends),
    };
    return cmocka_run_group_tests_name("shared/shard", tests, nullptr, nullptr);
}
