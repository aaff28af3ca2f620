// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What is counted is what malloc has given, which is a little more than what was asked for. So
// nothing is kept beside a block.

#include "http/memory.hh"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <malloc.h>

namespace dotproxy::http {

namespace {

// malloc and its like, since nghttp2 is C.
std::size_t size_of(const void* block) noexcept {
    return malloc_usable_size(
        const_cast<void*>(block)); // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

} // namespace

Memory::Memory(MemorySum& sum) noexcept
    : sum_{sum}, functions_{this, allocate, release, allocate_cleared, resize} {}

Memory::~Memory() {
    assert(used_ == 0); // nghttp2 gives back all that it has
}

bool Memory::may_have(std::size_t size) noexcept {
    const bool may = used_ <= most && size <= most - used_ && sum_.used <= sum_.most &&
                     size <= sum_.most - sum_.used;
    exhausted_ = exhausted_ || !may;
    return may;
}

/// A block may be larger than it was asked to be, so the bounds are kept to within a few octets.
void Memory::take(const void* block) noexcept {
    used_ += size_of(block);
    sum_.used += size_of(block);
}

void Memory::give_back(const void* block) noexcept {
    used_ -= size_of(block);
    sum_.used -= size_of(block);
}

void* Memory::allocate(std::size_t size, void* memory) noexcept {
    Memory& self = *static_cast<Memory*>(memory);
    if (!self.may_have(size)) {
        return nullptr;
    }
    void* block =
        std::malloc(std::max(size, std::size_t{1})); // NOLINT(cppcoreguidelines-no-malloc)
    self.take(block);
    return block;
}

void Memory::release(void* block, void* memory) noexcept {
    static_cast<Memory*>(memory)->give_back(block);
    std::free(block); // NOLINT(cppcoreguidelines-no-malloc)
}

void* Memory::allocate_cleared(std::size_t count, std::size_t size, void* memory) noexcept {
    const bool fits = size == 0 || count <= most / size;
    void* block = allocate(fits ? count * size : most + 1, memory);
    if (block != nullptr) {
        std::memset(block, 0, count * size);
    }
    return block;
}

void* Memory::resize(void* block, std::size_t size, void* memory) noexcept {
    Memory& self = *static_cast<Memory*>(memory);
    const std::size_t before = size_of(block);
    if (size > before && !self.may_have(size - before)) {
        return nullptr;
    }
    void* moved = std::realloc(block, size); // NOLINT(cppcoreguidelines-no-malloc)
    if (moved != nullptr) {
        self.used_ = self.used_ - before + size_of(moved);
        self.sum_.used = self.sum_.used - before + size_of(moved);
    }
    return moved;
}

} // namespace dotproxy::http
