// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/limits_memory.hh"

#include "base/undumped.hh"
#include "shared/anonymous.hh"

#include <sys/mman.h>

namespace dotproxy {

namespace {

constexpr std::size_t size = sizeof(LimitsMemory::Line) * LimitsMemory::line_count;

LimitsMemory::Line* map_lines() {
    void* memory = map_shared(size, "memory for the limits");
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
