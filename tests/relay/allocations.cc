// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The other operators of the family, array and nothrow, call these two.

#include "relay/allocations.hh"

#include <cstdlib>
#include <new>

namespace {

std::size_t& count() noexcept {
    static std::size_t allocations = 0;
    return allocations;
}

} // namespace

std::size_t dotproxy::test::allocations() noexcept {
    return count();
}

// NOLINTBEGIN(*-no-malloc, *-owning-memory): what everything else stands on
void* operator new(std::size_t size) {
    ++count();
    void* memory = std::malloc(size != 0 ? size : 1);
    if (memory == nullptr) {
        throw std::bad_alloc{};
    }
    return memory;
}

void operator delete(void* memory) noexcept {
    std::free(memory);
}

void operator delete(void* memory, std::size_t /*size*/) noexcept {
    std::free(memory);
}

// NOLINTEND(*-no-malloc, *-owning-memory)
