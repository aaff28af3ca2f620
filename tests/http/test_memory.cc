// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What nghttp2 may have for a connection, and for all of a worker (E50).

#include "http/memory.hh"

#include "unit.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

using dotproxy::http::Blocks;
using dotproxy::http::Memory;
using dotproxy::http::MemorySum;

namespace {

constexpr std::size_t plenty = std::size_t{1} << 30U;

void* allocate(Memory& memory, std::size_t size) {
    return memory.functions()->malloc(size, memory.functions()->mem_user_data);
}

void* resize(Memory& memory, void* block, std::size_t size) {
    return memory.functions()->realloc(block, size, memory.functions()->mem_user_data);
}

void* allocate_cleared(Memory& memory, std::size_t count, std::size_t size) {
    return memory.functions()->calloc(count, size, memory.functions()->mem_user_data);
}

void release(Memory& memory, void* block) {
    memory.functions()->free(block, memory.functions()->mem_user_data);
}

// E50
void test_a_connection_has_no_more_than_its_bound(void** /*state*/) {
    MemorySum sum{.used = 0, .most = plenty};
    Memory memory{sum};
    std::array<void*, 257> blocks{};
    std::size_t count = 0;
    while (count < blocks.size() && (blocks[count] = allocate(memory, 1024)) != nullptr) {
        ++count;
    }
    assert_in_range(count, 250, 256);
    assert_true(memory.exhausted());
    assert_true(memory.used() >= count * 1024 && memory.used() == sum.used);
    release(memory, blocks[--count]);
    blocks[count] = allocate(memory, 1024);
    assert_non_null(blocks[count++]); // what was given back can be had again
    while (count > 0) {
        release(memory, blocks[--count]);
    }
    assert_int_equal(memory.used(), 0);
    assert_int_equal(sum.used, 0);
}

// E50: what sending takes is not refused, and is counted.
void test_a_connection_with_credit_goes_over_its_bound(void** /*state*/) {
    MemorySum sum{.used = 0, .most = 1000};
    Memory memory{sum};
    void* first = nullptr;
    {
        const Memory::Credit credit{memory};
        first = allocate(memory, 2000);
        assert_non_null(first);
        first = resize(memory, first, 3000);
        assert_non_null(first);
    }
    assert_true(memory.used() >= 3000 && memory.used() == sum.used);
    assert_false(memory.exhausted());
    assert_null(allocate(memory, 1));
    assert_true(memory.exhausted());
    release(memory, first);
    assert_int_equal(sum.used, 0);
}

// E50
void test_all_connections_have_no_more_than_their_sum(void** /*state*/) {
    MemorySum sum{.used = 0, .most = 3000};
    Memory one{sum};
    Memory other{sum};
    void* first = allocate(one, 2000);
    assert_non_null(first);
    assert_null(allocate(other, 2000));
    assert_true(other.exhausted() && !one.exhausted());
    release(one, first);
    void* second = allocate(other, 2000);
    assert_non_null(second);
    release(other, second);
    assert_int_equal(sum.used, 0);
}

void test_resize_counts_the_difference(void** /*state*/) {
    MemorySum sum{.used = 0, .most = plenty};
    Memory memory{sum};
    void* block = resize(memory, nullptr, 100);
    assert_non_null(block);
    std::memset(block, 7, 100);
    block = resize(memory, block, 200'000);
    assert_non_null(block);
    assert_int_equal(static_cast<char*>(block)[99], 7);
    assert_true(memory.used() >= 200'000);
    assert_null(resize(memory, block, 300'000)); // and it is as it was
    assert_int_equal(static_cast<char*>(block)[99], 7);
    block = resize(memory, block, 100);
    assert_in_range(memory.used(), 100, 1000);
    release(memory, block);
    release(memory, nullptr);
    assert_int_equal(memory.used(), 0);
    assert_int_equal(sum.used, 0);
}

void test_cleared_memory_is_bounded_as_well(void** /*state*/) {
    MemorySum sum{.used = 0, .most = plenty};
    Memory memory{sum};
    assert_null(allocate_cleared(memory, std::numeric_limits<std::size_t>::max() / 2, 3));
    assert_null(allocate_cleared(memory, 300, 1024));
    void* block = allocate_cleared(memory, 100, 10);
    assert_non_null(block);
    assert_int_equal(static_cast<char*>(block)[999], 0);
    release(memory, block);
    assert_int_equal(sum.used, 0);
}

bool holds(const void* block, std::size_t size, int octet) {
    const auto* const octets = static_cast<const unsigned char*>(block);
    return std::all_of(octets, octets + size, [octet](unsigned char one) { return one == octet; });
}

// What is large comes from blocks that nobody has touched, while there are any.
void test_large_blocks_then_nobody_touched_them(void** /*state*/) {
    Blocks blocks{2 * 20480 + 1};
    MemorySum sum{.used = 0, .most = plenty, .blocks = &blocks};
    Memory memory{sum};
    void* const first = resize(memory, nullptr, 16394);
    void* const second = allocate(memory, 16394);
    void* const third = allocate(memory, 16394);
    void* const small = allocate(memory, 64);
    assert_true(blocks.owns(first) && blocks.owns(second));
    assert_false(blocks.owns(third) || blocks.owns(small));
    assert_true(memory.used() >= 2 * Blocks::size + 16394 + 64);
    assert_true(holds(first, Blocks::size, 0));
    std::memset(first, 7, Blocks::size);
    release(memory, first);
    void* const again = allocate_cleared(memory, 4, 4100);
    assert_ptr_equal(again, first);
    assert_true(holds(again, Blocks::size, 0));
    for (void* const block : {again, second, third, small}) {
        release(memory, block);
    }
    assert_int_equal(memory.used(), 0);
    assert_int_equal(sum.used, 0);
}

void test_large_block_when_resized_then_it_keeps_what_is_in_it(void** /*state*/) {
    Blocks blocks{20480};
    MemorySum sum{.used = 0, .most = plenty, .blocks = &blocks};
    Memory memory{sum};
    void* block = allocate(memory, 16384);
    std::memset(block, 7, Blocks::size);
    assert_ptr_equal(resize(memory, block, 100), block);
    assert_null(resize(memory, block, Memory::most + 1));
    assert_true(holds(block, Blocks::size, 7));
    block = resize(memory, block, 2 * Blocks::size);
    assert_false(blocks.owns(block));
    assert_true(holds(block, Blocks::size, 7));
    assert_in_range(memory.used(), 2 * Blocks::size, 2 * Blocks::size + 64);
    block = resize(memory, block, 4 * Blocks::size);
    assert_true(holds(block, Blocks::size, 7));
    void* const other = allocate(memory, 16384);
    assert_true(blocks.owns(other)); // it was given back
    release(memory, block);
    release(memory, other);
    assert_int_equal(sum.used, 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_large_blocks_then_nobody_touched_them),
        cmocka_unit_test(test_large_block_when_resized_then_it_keeps_what_is_in_it),
        cmocka_unit_test(test_a_connection_has_no_more_than_its_bound),
        cmocka_unit_test(test_a_connection_with_credit_goes_over_its_bound),
        cmocka_unit_test(test_all_connections_have_no_more_than_their_sum),
        cmocka_unit_test(test_resize_counts_the_difference),
        cmocka_unit_test(test_cleared_memory_is_bounded_as_well),
    };
    return cmocka_run_group_tests_name("http/memory", tests, nullptr, nullptr);
}
