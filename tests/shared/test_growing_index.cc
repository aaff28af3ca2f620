// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The index of a shard begins small and doubles: everything is found before and after. Who dies or
// flushes meanwhile is in test_killed_writer.cc.

#include "shared/shard_rig.hh"

#include "unit.hh"

using namespace dotproxy;
using namespace dotproxy::test;

namespace {

constexpr std::uint64_t none = 0; // the index has its full size
constexpr std::size_t small = 16;

ShardRig make(std::uint32_t buckets) {
    return ShardRig{{.buckets = buckets, .ring_words = std::uint64_t{64} * buckets}};
}

void fill(ShardRig& rig, std::uint64_t from, std::uint64_t to, std::uint32_t version = 1) {
    for (std::uint64_t i = from; i < to; ++i) {
        assert_int_equal(rig.put(i, version, small), Stored::yes);
    }
}

void test_insert_when_a_bucket_is_full_then_the_index_grows_and_all_are_found(void** /*state*/) {
    // One that halves evenly, one that never does, and one that is smaller than it is often halved.
    for (const std::uint32_t buckets : {1024U, 1023U, 1U + 512U, 20U}) {
        ShardRig rig = make(buckets);
        std::uint64_t halvings = rig.head().halvings;
        assert_true(halvings > 4);
        for (std::uint64_t key = 0; rig.head().halvings != none; ++key) {
            fill(rig, key, key + 1);
            if (rig.head().halvings == halvings) {
                continue;
            }
            halvings = rig.head().halvings;
            assert_int_equal(rig.shard.evictions(), 0);
            assert_int_equal(rig.shard.entries(), key + 1);
            for (std::uint64_t i = 0; i <= key; ++i) {
                assert_int_equal(rig.get(i), 1);
            }
        }
    }
}

void test_remove_if_when_the_index_has_grown_then_all_are_gone(void** /*state*/) {
    ShardRig rig = make(1024);
    fill(rig, 0, 500);
    assert_true(rig.head().halvings < 5);
    assert_int_equal(rig.shard.remove_if([](const Entry&) { return true; }), 500);
    assert_int_equal(rig.shard.entries(), 0);
}

// One that is in use is not forgotten for that: it moves on as if nothing had been.
void test_insert_when_the_index_has_grown_then_what_is_used_moves_on(void** /*state*/) {
    ShardRig rig{{.buckets = 1024, .ring_words = 6000}};
    fill(rig, 0, 1);
    for (std::uint64_t i = 1; i < 5000; ++i) {
        assert_int_equal(rig.get(0), 1);
        fill(rig, i, i + 1);
    }
    assert_int_equal(rig.get(0), 1);
}

void test_give_back_then_the_index_is_small_again(void** /*state*/) {
    ShardRig rig = make(1024);
    const std::uint64_t halvings = rig.head().halvings;
    fill(rig, 0, 500);
    assert_true(rig.head().halvings < halvings);
    assert_true(rig.shard.give_back());
    assert_int_equal(rig.head().halvings, halvings);
    fill(rig, 0, 500, 2);
    for (std::uint64_t i = 0; i < 500; ++i) {
        assert_int_equal(rig.get(i), 2);
    }
}

// How large the index is stands in shared memory as well, and may be anything.
void test_insert_when_its_size_was_scribbled_over_then_stored(void** /*state*/) {
    for (std::uint64_t word = 0; word < 70; ++word) {
        for (const std::uint64_t scribbled : {word, ~word, word << 32U}) {
            ShardRig rig = make(33);
            fill(rig, 0, 100);
            rig.head().halvings = scribbled;
            assert_true(rig.is_whole(100));
            fill(rig, 200, 300, 2);
            assert_true(rig.is_whole(300));
            assert_int_equal(rig.get(299), 2);
        }
    }
}

// Neither is what stands in a slot believed, which says into which bucket it goes.
void test_insert_when_slots_were_scribbled_over_then_stored(void** /*state*/) {
    std::uint64_t state = 1;
    for (unsigned round = 0; round < 50; ++round) {
        ShardRig rig = make(33);
        fill(rig, 0, 20);
        for (std::uint32_t i = 0; i < rig.layout.buckets; ++i) {
            for (auto& slot : rig.buckets()[i].slots) {
                slot = (draw(state) >> 20U << 20U) | (rig.layout.ring_words + draw(state) % 120);
            }
        }
        fill(rig, 20, 120);
        assert_true(rig.is_whole(120));
        assert_int_equal(rig.get(119), 1);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_insert_when_a_bucket_is_full_then_the_index_grows_and_all_are_found),
        cmocka_unit_test(test_remove_if_when_the_index_has_grown_then_all_are_gone),
        cmocka_unit_test(test_insert_when_the_index_has_grown_then_what_is_used_moves_on),
        cmocka_unit_test(test_give_back_then_the_index_is_small_again),
        cmocka_unit_test(test_insert_when_its_size_was_scribbled_over_then_stored),
        cmocka_unit_test(test_insert_when_slots_were_scribbled_over_then_stored),
    };
    return cmocka_run_group_tests_name("shared/growing_index", tests, nullptr, nullptr);
}
