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

Memory::Memory(MemorySum& sum, std::size_t limit) noexcept
    : sum_{sum}, limit_{limit}, functions_{this, allocate, release, allocate_cleared, resize} {}

Memory::~Memory() {
    assert(used_ == 0); // nghttp2 gives back all that it has
}

bool Memory::may_have(std::size_t size) noexcept {
    const bool within = used_ <= limit_ && size <= limit_ - used_ && sum_.used <= sum_.most &&
                        size <= sum_.most - sum_.used;
    const bool may = within || credit_;
    exhausted_ = exhausted_ || !may;
    return may;
}

bool Memory::is_large(const void* block) const noexcept {
    return sum_.blocks != nullptr && sum_.blocks->owns(block);
}

std::size_t Memory::size_of(const void* block) const noexcept {
    if (is_large(block)) {
        return Blocks::size;
    }
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): it only reads
    return malloc_usable_size(const_cast<void*>(block));
}

// malloc and its like, since nghttp2 is C.
// NOLINTBEGIN(cppcoreguidelines-no-malloc)

/// Memory that is not accounted for yet; nullptr: there is none.
void* Memory::get(std::size_t size) const noexcept {
    constexpr std::size_t large = 16384; // a little more is for a frame of HTTP/2
    void* const block = sum_.blocks != nullptr && size >= large && size <= Blocks::size
                            ? sum_.blocks->take()
                            : nullptr;
    return block != nullptr ? block : std::malloc(std::max(size, std::size_t{1}));
}

void Memory::put(void* block) const noexcept {
    if (is_large(block)) {
        sum_.blocks->give_back(block);
    } else {
        std::free(block);
    }
}

/// A block may be larger than it was asked to be, so the bounds are kept to within a few octets.
void Memory::take(const void* block) noexcept {
    const std::size_t size = size_of(block);
    used_ += size;
    sum_.used += size;
}

void Memory::give_back(const void* block) noexcept {
    const std::size_t size = size_of(block);
    used_ -= size;
    sum_.used -= size;
}

void* Memory::allocate(std::size_t size, void* memory) noexcept {
    Memory& self = *static_cast<Memory*>(memory);
    if (!self.may_have(size)) {
        return nullptr;
    }
    void* const block = self.get(size);
    self.take(block);
    return block;
}

void Memory::release(void* block, void* memory) noexcept {
    if (block == nullptr) { // every third one
        return;
    }
    Memory& self = *static_cast<Memory*>(memory);
    self.give_back(block);
    self.put(block);
}

void* Memory::allocate_cleared(std::size_t count, std::size_t size, void* memory) noexcept {
    const std::size_t limit = static_cast<Memory*>(memory)->limit_;
    const bool fits = size == 0 || count <= limit / size;
    void* block = allocate(fits ? count * size : limit + 1, memory);
    if (block != nullptr) {
        std::memset(block, 0, count * size);
    }
    return block;
}

void* Memory::resize(void* block, std::size_t size, void* memory) noexcept {
    Memory& self = *static_cast<Memory*>(memory);
    const std::size_t before = self.size_of(block);
    if (block == nullptr) {
        return allocate(size, memory);
    }
    if (size > before && !self.may_have(size - before)) {
        return nullptr;
    }
    if (self.is_large(block)) {
        return size <= before ? block : self.move(block, size);
    }
    self.give_back(block);
    void* const moved = std::realloc(block, size);
    self.take(moved != nullptr ? moved : block);
    return moved;
}

/// Out of a large block, to what is larger.
void* Memory::move(void* block, std::size_t size) noexcept {
    void* const moved = get(size);
    if (moved != nullptr) {
        std::memcpy(moved, block, Blocks::size);
        take(moved);
        give_back(block);
        put(block);
    }
    return moved;
}

// NOLINTEND(cppcoreguidelines-no-malloc)

} // namespace dotproxy::http
