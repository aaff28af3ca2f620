// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Any process may die in any instruction (L66). Writers are killed at random while others read:
// these must find exact octets of some complete insertion or nothing, and the next insertion must
// succeed at once.

#include "shared/shard_rig.hh"

#include "unit.hh"

#include <csignal>
#include <ctime>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace dotproxy;
using namespace dotproxy::test;

namespace {

constexpr std::size_t rounds = 1000;
constexpr double most_seconds = 8;
constexpr double patience = 60;
constexpr std::uint64_t key_count = 40;
constexpr std::uint64_t next_key = 1000;
constexpr std::size_t small = 16;

double seconds() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// What the processes say to each other.
struct Board {
    std::atomic<bool> over;
    std::atomic<std::uint64_t> torn;
    std::atomic<std::uint64_t> found;
};

[[noreturn]] void read_until_over(const ShardRig& rig, Board& board) {
    EntryBuffer buffer; // NOLINT(*-member-init): not read
    Shard shard = rig.view(buffer);
    for (std::uint64_t i = 0; !board.over.load(); ++i) {
        const Octets key = key_of(i % key_count);
        const std::optional<Entry> entry = shard.find(rig.hash(key), key);
        board.found += entry ? 1U : 0U;
        board.torn += entry && version_of(*entry, key) < 0 ? 1U : 0U;
    }
    ::_exit(0);
}

[[noreturn]] void write_forever(const ShardRig& rig, std::uint64_t seed) {
    EntryBuffer buffer; // NOLINT(*-member-init): not read
    Shard shard = rig.view(buffer);
    std::vector<Sample> samples;
    for (std::uint32_t i = 0; i < 2 * key_count; ++i) {
        samples.emplace_back(i % key_count, i + 1, sizeof(ValueHead) + draw(seed) % 200);
    }
    for (;;) {
        Sample& sample = samples[draw(seed) % samples.size()];
        (void)shard.insert(rig.hash(sample.key), sample.entry(), rig.now, 0);
    }
}

// The moment is chosen by how much the parent reads meanwhile: from nothing to many insertions.
bool kill_one_writer(ShardRig& rig, std::uint64_t& seed) {
    const pid_t writer = ::fork();
    if (writer == 0) {
        write_forever(rig, seed);
    }
    const std::uint64_t before = rig.shard.insertions();
    const bool wait = draw(seed) % 8 != 0;
    while (wait && rig.shard.insertions() == before) {
        ::sched_yield();
    }
    bool sound = true;
    for (std::uint64_t i = draw(seed) % 500; i > 0; --i) {
        sound = rig.get(i % key_count) != -2 && sound;
    }
    ::kill(writer, SIGKILL);
    return ::waitpid(writer, nullptr, 0) == writer && sound && rig.is_whole(key_count) &&
           rig.put(next_key, 3, small) == Stored::yes && rig.get(next_key) == 3;
}

void test_writer_when_killed_at_random_then_those_who_read_find_no_torn_octet(void** /*state*/) {
    const double begin = seconds();
    ShardRig rig{{.buckets = 8, .ring_words = 512}};
    const Region memory{sizeof(Board)};
    Board& board = *static_cast<Board*>(static_cast<void*>(memory.data()));
    const pid_t reader = ::fork();
    if (reader == 0) {
        read_until_over(rig, board);
    }
    std::uint64_t seed = 1;
    std::size_t done = 0;
    bool sound = true;
    while (sound && done < rounds && seconds() < begin + most_seconds) {
        sound = kill_one_writer(rig, seed);
        ++done;
    }
    // It may be that the reader has had no processor yet.
    while (sound && board.found == 0 && seconds() < begin + patience) {
        sound = rig.put(0, 1, small) == Stored::yes;
        ::sched_yield();
    }
    board.over = true;
    int status = -1;
    assert_int_equal(::waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    assert_true(sound);
    assert_int_equal(board.torn.load(), 0);
    assert_true(board.found.load() > 0);
    print_message("# %zu kills, %llu insertions, %llu found by the reader, %.1f s\n", done,
                  1ULL * rig.shard.insertions(), 1ULL * board.found.load(), seconds() - begin);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_when_killed_at_random_then_those_who_read_find_no_torn_octet),
    };
    return cmocka_run_group_tests_name("shared/killed_at_random", tests, nullptr, nullptr);
}
