// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/limits_memory.hh"

#include "base/undumped.hh"

#include <cerrno>
#include <sys/mman.h>
#include <system_error>

namespace dotproxy {

namespace {

constexpr std::size_t size = sizeof(LimitsMemory::Line) * LimitsMemory::line_count;

LimitsMemory::Line* map_lines() {
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::system_error{errno, std::generic_category(), "memory for the limits"};
    }
    keep_undumped(memory, size);
    // All zero is what new lines are: to construct them would have each page made.
    return static_cast<LimitsMemory::Line*>(memory);
}

} // namespace

LimitsMemory::LimitsMemory() : hash_{SipHash::draw_key()}, lines_{map_lines()} {}

LimitsMemory::~LimitsMemory() {
    ::munmap(lines_, size);
}

} // namespace dotproxy
