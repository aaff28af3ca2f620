// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/region.hh"

#include "unit.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <span>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

using dotproxy::Fd;
using dotproxy::Region;

namespace {

constexpr std::size_t size = 3 * 4096 + 100; // need not be a number of pages
constexpr int all_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

bool adopts(int fd, std::size_t expected) {
    try {
        const Region region{Fd{fd}, expected};
        return region.data() != nullptr;
    } catch (const std::system_error&) {
        return false;
    }
}

int memory(std::size_t octets, int seals) {
    const int fd = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(::ftruncate(fd, static_cast<off_t>(octets)), 0);
    assert_int_equal(::fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

void test_new_then_zeros_of_this_size_that_can_be_written(void** /*state*/) {
    const Region region{size};
    assert_int_equal(region.size(), size);
    const std::span octets{region.data(), region.size()};
    assert_true(std::ranges::all_of(octets, [](std::byte octet) { return octet == std::byte{}; }));
    std::ranges::fill(octets, std::byte{0xa5});
    assert_int_equal(octets.back(), 0xa5);
}

void test_new_then_not_for_the_programs_that_are_executed(void** /*state*/) {
    const Region region{size};
    assert_int_equal(::fcntl(region.fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

// Whoever holds the descriptor could otherwise make everybody else fault.
void test_new_when_resized_then_refused(void** /*state*/) {
    const Region region{size};
    assert_int_equal(::ftruncate(region.fd(), 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(::ftruncate(region.fd(), 2 * size), -1);
    assert_int_equal(::fcntl(region.fd(), F_ADD_SEALS, F_SEAL_WRITE), -1);
}

void test_new_when_there_cannot_be_so_much_then_throws(void** /*state*/) {
    bool thrown = false;
    try {
        const Region region{std::size_t{1} << 62U};
    } catch (const std::system_error&) {
        thrown = true;
    }
    assert_true(thrown);
}

void test_fork_when_the_child_writes_then_the_parent_reads_it(void** /*state*/) {
    const Region region{size};
    const pid_t child = ::fork();
    if (child == 0) {
        region.data()[size - 1] = std::byte{42};
        ::_exit(0);
    }
    assert_int_equal(::waitpid(child, nullptr, 0), child);
    assert_int_equal(region.data()[size - 1], 42);
}

void test_adopt_when_the_maker_is_gone_then_what_it_wrote(void** /*state*/) {
    int fd = -1;
    {
        const Region region{size};
        region.data()[7] = std::byte{7};
        fd = ::dup(region.fd());
    }
    const Region region{Fd{fd}, size};
    assert_int_equal(region.fd(), fd);
    assert_int_equal(region.size(), size);
    assert_int_equal(region.data()[7], 7);
    region.data()[8] = std::byte{8};
}

void test_adopt_when_of_another_size_then_refused(void** /*state*/) {
    const Region region{size};
    assert_false(adopts(::dup(region.fd()), size - 1));
    assert_false(adopts(::dup(region.fd()), size + 1));
    assert_false(adopts(::dup(region.fd()), 0));
    assert_true(adopts(::dup(region.fd()), size));
}

void test_adopt_when_a_seal_is_missing_then_refused(void** /*state*/) {
    assert_true(adopts(memory(size, all_seals), size));
    assert_false(adopts(memory(size, 0), size));
    for (const int seal : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL}) {
        assert_false(adopts(memory(size, all_seals & ~seal), size));
    }
}

void test_adopt_when_sealed_against_writing_then_refused(void** /*state*/) {
    assert_false(adopts(memory(size, all_seals | F_SEAL_WRITE), size));
    assert_false(adopts(memory(size, all_seals | F_SEAL_FUTURE_WRITE), size));
}

void test_adopt_when_open_for_reading_only_then_refused(void** /*state*/) {
    const Region region{size};
    const std::string path = "/proc/self/fd/" + std::to_string(region.fd());
    assert_false(adopts(::open(path.c_str(), O_RDONLY | O_CLOEXEC), size));
}

void test_adopt_when_not_memory_then_refused(void** /*state*/) {
    std::array<int, 2> ends{};
    assert_int_equal(::pipe2(ends.data(), O_CLOEXEC), 0);
    assert_false(adopts(ends[0], 0));
    assert_false(adopts(ends[1], size));
    assert_false(adopts(::open("/dev/zero", O_RDWR | O_CLOEXEC), 0));
    std::FILE* file = std::tmpfile();
    assert_non_null(file);
    assert_int_equal(::ftruncate(::fileno(file), size), 0);
    assert_false(adopts(::dup(::fileno(file)), size));
    std::fclose(file);
    assert_false(adopts(-1, size));
}

// Adopting takes the descriptor in any case: one that was refused must not stay open.
void test_adopt_when_refused_then_the_descriptor_is_closed(void** /*state*/) {
    const int fd = memory(size, 0);
    assert_false(adopts(fd, size));
    assert_int_equal(::fcntl(fd, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
}

// Whether the kernel says " FLAG " of the mapping that begins at `start`.
bool has_flag(const void* start, const char* flag) {
    std::array<char, 64> address{};
    std::snprintf(address.data(), address.size(), "%jx-", reinterpret_cast<std::uintmax_t>(start));
    std::FILE* maps = std::fopen("/proc/self/smaps", "re");
    assert_non_null(maps);
    std::array<char, 4096> line{};
    bool here = false;
    bool found = false;
    while (std::fgets(line.data(), line.size(), maps) != nullptr) {
        const std::string_view text{line.data()};
        here = here || text.starts_with(address.data());
        if (here && text.starts_with("VmFlags:")) {
            found = text.find(flag) != std::string_view::npos;
            break;
        }
    }
    std::fclose(maps);
    return found;
}

// What people asked must not lie in a core file.
void test_map_then_not_in_a_core_file(void** /*state*/) {
    const Region made{size};
    const Region adopted{Fd{::dup(made.fd())}, size};
    assert_true(has_flag(made.data(), " dd "));
    assert_true(has_flag(adopted.data(), " dd "));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_new_then_zeros_of_this_size_that_can_be_written),
        cmocka_unit_test(test_new_then_not_for_the_programs_that_are_executed),
        cmocka_unit_test(test_new_when_resized_then_refused),
        cmocka_unit_test(test_new_when_there_cannot_be_so_much_then_throws),
        cmocka_unit_test(test_fork_when_the_child_writes_then_the_parent_reads_it),
        cmocka_unit_test(test_adopt_when_the_maker_is_gone_then_what_it_wrote),
        cmocka_unit_test(test_adopt_when_of_another_size_then_refused),
        cmocka_unit_test(test_adopt_when_a_seal_is_missing_then_refused),
        cmocka_unit_test(test_adopt_when_sealed_against_writing_then_refused),
        cmocka_unit_test(test_adopt_when_open_for_reading_only_then_refused),
        cmocka_unit_test(test_adopt_when_not_memory_then_refused),
        cmocka_unit_test(test_adopt_when_refused_then_the_descriptor_is_closed),
        cmocka_unit_test(test_map_then_not_in_a_core_file),
    };
    return cmocka_run_group_tests_name("shared/region", tests, nullptr, nullptr);
}
