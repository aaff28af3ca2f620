// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/undumped.hh"

#include "base/slab.hh"
#include "unit.hh"

#include <array>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

using dotproxy::keep_undumped;
using dotproxy::map_undumped;
using dotproxy::Slab;
using dotproxy::Undumped;
using dotproxy::unmap_undumped;

namespace {

struct CloseFile {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

/// Whether the kernel's description of the mapping that holds this address has "dd".
bool is_undumped(const void* address) {
    const auto wanted = reinterpret_cast<std::uintptr_t>(address);
    const std::unique_ptr<std::FILE, CloseFile> file{std::fopen("/proc/self/smaps", "r")};
    std::array<char, 1024> line{};
    bool inside = false;
    while (file != nullptr && std::fgets(line.data(), line.size(), file.get()) != nullptr) {
        unsigned long begin = 0;
        unsigned long end = 0;
        if (std::sscanf(line.data(), "%lx-%lx ", &begin, &end) == 2) {
            inside = begin <= wanted && wanted < end;
        } else if (inside && std::strncmp(line.data(), "VmFlags:", 8) == 0) {
            return std::strstr(line.data(), " dd") != nullptr;
        }
    }
    return false;
}

bool is_page(const void* address) {
    return reinterpret_cast<std::uintptr_t>(address) %
               static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE)) ==
           0;
}

void test_map_then_whole_pages_that_no_core_file_has(void** /*state*/) {
    constexpr std::size_t size = 10'000;
    void* memory = map_undumped(size);
    assert_true(is_page(memory));
    assert_true(is_undumped(memory));
    assert_true(is_undumped(static_cast<char*>(memory) + size - 1));
    std::memset(memory, 'x', size);
    unmap_undumped(memory, size);
}

// The look at it tells the two apart.
void test_memory_when_it_is_none_of_this_then_dumped(void** /*state*/) {
    int on_the_stack = 0;
    assert_false(is_undumped(&on_the_stack));
    assert_false(is_undumped(std::make_unique<int>().get()));
}

void test_keep_when_mapped_elsewhere_then_undumped(void** /*state*/) {
    void* memory = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_false(is_undumped(memory));
    keep_undumped(memory, 8192);
    assert_true(is_undumped(memory));
    ::munmap(memory, 8192);
}

void test_map_when_there_is_not_so_much_then_bad_alloc(void** /*state*/) {
    bool thrown = false;
    try {
        static_cast<void>(map_undumped(std::numeric_limits<std::size_t>::max() / 2));
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    assert_true(thrown);
}

void test_object_then_it_lies_in_such_memory(void** /*state*/) {
    const Undumped<std::array<char, 5000>> octets;
    assert_true(is_undumped(octets->data()));
    assert_int_equal(octets->size(), 5000);
}

void test_slab_then_its_places_lie_in_such_memory(void** /*state*/) {
    Slab<int> slab{100};
    const int* item = slab.create(1);
    assert_non_null(item);
    assert_true(is_undumped(item));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_map_then_whole_pages_that_no_core_file_has),
        cmocka_unit_test(test_memory_when_it_is_none_of_this_then_dumped),
        cmocka_unit_test(test_keep_when_mapped_elsewhere_then_undumped),
        cmocka_unit_test(test_map_when_there_is_not_so_much_then_bad_alloc),
        cmocka_unit_test(test_object_then_it_lies_in_such_memory),
        cmocka_unit_test(test_slab_then_its_places_lie_in_such_memory),
    };
    return cmocka_run_group_tests_name("base/undumped", tests, nullptr, nullptr);
}
