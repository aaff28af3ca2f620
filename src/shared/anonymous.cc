// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/anonymous.hh"

#include <cerrno>
#include <sys/mman.h>
#include <system_error>

namespace dotproxy {

void* map_shared(std::size_t size, const char* what) {
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::system_error{errno, std::generic_category(), what};
    }
    return memory;
}

} // namespace dotproxy
