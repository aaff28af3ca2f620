// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/undumped.hh"

#include <new>
#include <sys/mman.h>

namespace dotproxy {

void* map_undumped(std::size_t size) {
    void* memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc{};
    }
    keep_undumped(memory, size);
    return memory;
}

void unmap_undumped(void* memory, std::size_t size) noexcept {
    ::munmap(memory, size);
}

void keep_undumped(void* memory, std::size_t size) noexcept {
    // Where the kernel writes no core files it does not know this either.
    ::madvise(memory, size, MADV_DONTDUMP);
}

} // namespace dotproxy
