// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/cache_memory.hh"

#include "shared/self_describing.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

using namespace dotproxy;
using namespace dotproxy::test;

namespace {

constexpr std::size_t size = CacheMemory::smallest;
constexpr std::uint32_t format = 3;
constexpr std::size_t likeness = 64; // octets at the beginning that must be equal
constexpr std::size_t header = likeness + sizeof(SipHash::Key);

bool adopts(int fd, std::size_t expected_size = size, std::uint32_t expected_format = format) {
    try {
        const CacheMemory memory{Fd{fd}, expected_size, expected_format};
        return memory.size() == expected_size;
    } catch (const std::runtime_error&) {
        return false;
    }
}

/// Why an adoption fails.
std::string refusal(int fd, std::size_t expected_size, std::uint64_t expected_format) {
    try {
        const CacheMemory memory{Fd{fd}, expected_size, expected_format};
        return "nothing";
    } catch (const std::runtime_error& problem) {
        return problem.what();
    }
}

bool put(const CacheMemory& memory, std::uint32_t shard, Sample& sample) {
    EntryBuffer buffer;
    return memory.shard(shard, buffer).insert(memory.hash()(sample.key), sample.entry(), 0, 0) ==
           Stored::yes;
}

bool has(const CacheMemory& memory, std::uint32_t shard, const Sample& sample) {
    EntryBuffer buffer;
    Shard view = memory.shard(shard, buffer);
    const std::optional<Entry> found = view.find(memory.hash()(sample.key), sample.key);
    return found && version_of(*found, sample.key) == sample.version;
}

void test_new_then_shards_share_what_was_asked_for(void** /*state*/) {
    struct Row {
        std::size_t size;
        std::uint32_t shards;
    };

    constexpr std::size_t mebi = std::size_t{1} << 20U;
    for (const Row& row : {Row{mebi, 2}, Row{2 * mebi - 1, 2}, Row{2 * mebi, 4}, Row{3 * mebi, 4},
                           Row{32 * mebi, 64}, Row{64 * mebi, 64}, Row{1000 * mebi, 64}}) {
        const CacheMemory memory{row.size, format};
        assert_int_equal(memory.size(), row.size);
        assert_int_equal(memory.shards(), row.shards);
        // What is not for entries is the index, a ninth, and the page of claims.
        assert_true(memory.capacity() < row.size * 8 / 9);
        assert_true(memory.capacity() > row.size * 8 / 9 - row.size / 20);
    }
}

// The last octet of the last shard lies within the memory: each takes entries until its ring
// turned.
void test_new_when_the_size_is_odd_then_every_shard_can_be_filled(void** /*state*/) {
    for (const std::size_t odd : {size, size + 1, size + 4095, 5 * size + 12345}) {
        const CacheMemory memory{odd, format};
        Sample sample{1, 1, 60'000};
        for (std::uint32_t i = 0; i < memory.shards(); ++i) {
            for (std::size_t filled = 0; filled < 2 * memory.capacity() / memory.shards();
                 filled += 60'000) {
                assert_true(put(memory, i, sample));
                assert_true(has(memory, i, sample));
            }
        }
    }
}

// A message of 64 KiB - 1 with its key must fit the smallest cache.
void test_new_when_smallest_then_the_largest_entry_fits(void** /*state*/) {
    const CacheMemory memory{size, format};
    Sample sample{1, 1, Shard::max_entry - 24 - Shard::max_key - 1, Shard::max_key};
    assert_true(sample.value.size() > 65'535);
    assert_true(put(memory, 0, sample));
    assert_true(has(memory, 0, sample));
    assert_false(has(memory, 1, sample)); // shards do not overlap
}

// L19: nobody can choose names that collide in this process from what another one does.
void test_new_then_a_secret_of_its_own(void** /*state*/) {
    const CacheMemory one{size, format};
    const CacheMemory other{size, format};
    assert_int_not_equal(one.hash()(key_of(1)), other.hash()(key_of(1)));
}

void test_words_then_zeros_that_can_be_written(void** /*state*/) {
    const CacheMemory memory{size, format};
    assert_true(memory.claims().size() >= 1024);
    for (std::atomic<std::uint64_t>& claim : memory.claims()) {
        assert_int_equal(claim.load(), 0);
        claim = ~std::uint64_t{0};
    }
    assert_int_equal(memory.failures_ended().load(), 0);
    memory.failures_ended() = ~std::uint64_t{0};
    assert_int_equal(memory.claims()[0].load(), ~std::uint64_t{0});
    // They are neither the header's nor a shard's.
    assert_true(adopts(::dup(memory.fd())));
    Sample sample{1, 1, 60};
    assert_true(put(memory, 0, sample));
    assert_true(has(memory, 0, sample));
}

void test_adopt_when_like_this_then_what_is_in_it(void** /*state*/) {
    Sample sample{1, 7, 60};
    std::uint64_t hash = 0;
    int fd = -1;
    {
        const CacheMemory memory{size, format};
        assert_true(put(memory, 1, sample));
        hash = memory.hash()(sample.key);
        fd = ::dup(memory.fd());
    }
    const CacheMemory memory{Fd{fd}, size, format};
    assert_int_equal(memory.fd(), fd);
    assert_int_equal(memory.hash()(sample.key), hash);
    assert_true(has(memory, 1, sample));
    Sample other{2, 8, 60};
    assert_true(put(memory, 1, other));
    assert_true(has(memory, 1, other));
    assert_true(has(memory, 1, sample));
}

// Any doubt means an empty cache: the master then makes a new one.
void test_adopt_when_any_octet_of_the_likeness_differs_then_refused(void** /*state*/) {
    const CacheMemory memory{size, format};
    for (off_t i = 0; i < static_cast<off_t>(likeness); ++i) {
        std::uint8_t octet = 0;
        assert_int_equal(::pread(memory.fd(), &octet, 1, i), 1);
        for (unsigned bit = 0; bit < 8; ++bit) {
            const auto wrong = static_cast<std::uint8_t>(octet ^ 1U << bit);
            assert_int_equal(::pwrite(memory.fd(), &wrong, 1, i), 1);
            assert_false(adopts(::dup(memory.fd())));
        }
        assert_int_equal(::pwrite(memory.fd(), &octet, 1, i), 1);
    }
    assert_true(adopts(::dup(memory.fd())));
}

void test_adopt_when_the_header_is_all_zero_then_refused(void** /*state*/) {
    const Region region{size};
    assert_false(adopts(::dup(region.fd())));
}

void test_adopt_when_of_another_size_or_format_then_refused(void** /*state*/) {
    const CacheMemory memory{size, format};
    assert_false(adopts(::dup(memory.fd()), size + 1));
    assert_false(adopts(::dup(memory.fd()), 2 * size));
    assert_false(adopts(::dup(memory.fd()), size, format + 1));
    assert_true(adopts(::dup(memory.fd())));
}

// Upstreams are changed more often than the program is: the one is not said of the other.
void test_adopt_when_refused_then_the_reason_is_the_true_one(void** /*state*/) {
    const CacheMemory memory{size, format};
    assert_string_equal(refusal(::dup(memory.fd()), size, format + 1).c_str(),
                        "what was kept are the answers of other upstreams");
    std::byte changed{};
    constexpr off_t version = 16; // behind the magic
    assert_int_equal(::pread(memory.fd(), &changed, 1, version), 1);
    changed ^= std::byte{1};
    assert_int_equal(::pwrite(memory.fd(), &changed, 1, version), 1);
    assert_string_equal(refusal(::dup(memory.fd()), size, format).c_str(),
                        "what was kept is of another version of dotproxy");
}

// A header that tells the truth of another size, in memory of this size.
void test_adopt_when_header_and_memory_differ_then_refused(void** /*state*/) {
    const CacheMemory smaller{size, format};
    const Region larger{2 * size};
    std::array<std::byte, header> octets{};
    assert_int_equal(::pread(smaller.fd(), octets.data(), header, 0), header);
    std::ranges::copy(octets, larger.data());
    assert_false(adopts(::dup(larger.fd()), 2 * size));
    assert_false(adopts(::dup(larger.fd()), size));
}

void test_adopt_when_not_sealed_or_no_memory_then_refused(void** /*state*/) {
    const CacheMemory memory{size, format};
    std::array<std::byte, header> octets{};
    assert_int_equal(::pread(memory.fd(), octets.data(), header, 0), header);
    const int open = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(::ftruncate(open, size), 0);
    assert_int_equal(::pwrite(open, octets.data(), header, 0), header);
    assert_false(adopts(::dup(open)));
    assert_int_equal(::fcntl(open, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    assert_true(adopts(open));
    assert_false(adopts(::open("/dev/zero", O_RDWR | O_CLOEXEC)));
    assert_false(adopts(-1));
}

// Its mutexes may be those of processes that are gone, or rubbish.
void test_adopt_when_everything_but_the_header_is_rubbish_then_usable(void** /*state*/) {
    const CacheMemory memory{size, format};
    std::vector<std::uint8_t> rubbish(size - header);
    std::uint64_t seed = 1;
    std::ranges::generate(rubbish, [&] { return static_cast<std::uint8_t>(draw(seed)); });
    assert_int_equal(::pwrite(memory.fd(), rubbish.data(), rubbish.size(), header), rubbish.size());
    const CacheMemory adopted{Fd{::dup(memory.fd())}, size, format};
    for (std::uint32_t i = 0; i < adopted.shards(); ++i) {
        Sample sample{i, 1, 60};
        assert_false(has(adopted, i, sample));
        assert_true(put(adopted, i, sample));
        assert_true(has(adopted, i, sample));
    }
}

/// Octets that the system has set aside for it.
std::size_t resident(const CacheMemory& memory) {
    struct stat status {};

    assert_int_equal(::fstat(memory.fd(), &status), 0);
    return static_cast<std::size_t>(status.st_blocks) * 512;
}

// Twice around each ring.
void fill(const CacheMemory& memory) {
    Sample sample{1, 1, 60'000};
    for (std::uint32_t i = 0; i < memory.shards(); ++i) {
        for (std::size_t filled = 0; filled < 2 * memory.capacity() / memory.shards();
             filled += 60'000) {
            assert_true(put(memory, i, sample));
        }
    }
}

void test_give_back_then_nothing_is_left_but_heads(void** /*state*/) {
    const CacheMemory memory{32 * size, format};
    const std::size_t empty = resident(memory);
    fill(memory);
    assert_true(resident(memory) > memory.capacity() * 3 / 4);
    assert_true(memory.give_back());
    // What lies in a page with a head was never touched, and may be now.
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    assert_true(resident(memory) <= empty + 2 * page * memory.shards());
    EntryBuffer buffer;
    for (std::uint32_t i = 0; i < memory.shards(); ++i) {
        assert_int_equal(memory.shard(i, buffer).octets(), 0);
        assert_false(has(memory, i, Sample{1, 1, 60'000}));
    }
}

// What is stored afterwards stays: once the ring has turned, not even what the zeros of before
// stand between is lost.
void test_give_back_then_what_is_stored_later_stays(void** /*state*/) {
    const CacheMemory memory{size, format};
    fill(memory);
    assert_true(memory.give_back());
    EntryBuffer buffer;
    Shard shard = memory.shard(0, buffer);
    const std::uint64_t before = shard.evictions();
    std::uint64_t count = 0;
    while (shard.evictions() == before) {
        Sample sample{++count, 1, 5'000};
        assert_true(put(memory, 0, sample));
    }
    const std::size_t ring = memory.capacity() / memory.shards();
    assert_true(shard.octets() > ring - 3 * 5'100);
    for (std::uint64_t i = 3; i <= count; ++i) { // the first had to make room
        assert_true(has(memory, 0, Sample{i, 1, 5'000}));
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_new_then_shards_share_what_was_asked_for),
        cmocka_unit_test(test_new_when_the_size_is_odd_then_every_shard_can_be_filled),
        cmocka_unit_test(test_new_when_smallest_then_the_largest_entry_fits),
        cmocka_unit_test(test_new_then_a_secret_of_its_own),
        cmocka_unit_test(test_words_then_zeros_that_can_be_written),
        cmocka_unit_test(test_adopt_when_like_this_then_what_is_in_it),
        cmocka_unit_test(test_adopt_when_any_octet_of_the_likeness_differs_then_refused),
        cmocka_unit_test(test_adopt_when_the_header_is_all_zero_then_refused),
        cmocka_unit_test(test_adopt_when_of_another_size_or_format_then_refused),
        cmocka_unit_test(test_adopt_when_refused_then_the_reason_is_the_true_one),
        cmocka_unit_test(test_adopt_when_header_and_memory_differ_then_refused),
        cmocka_unit_test(test_adopt_when_not_sealed_or_no_memory_then_refused),
        cmocka_unit_test(test_adopt_when_everything_but_the_header_is_rubbish_then_usable),
        cmocka_unit_test(test_give_back_then_nothing_is_left_but_heads),
        cmocka_unit_test(test_give_back_then_what_is_stored_later_stays),
    };
    return cmocka_run_group_tests_name("shared/cache_memory", tests, nullptr, nullptr);
}
