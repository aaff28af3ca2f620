// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/region.hh"

#include "base/undumped.hh"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>

namespace dotproxy {

namespace {

// Whoever holds the descriptor can scribble, but never make another process fault (SIGBUS).
constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

[[noreturn]] void fail(int error, const char* what) {
    throw std::system_error{error, std::generic_category(), what};
}

} // namespace

Region::Region(std::size_t size)
    : memory_{::memfd_create("dotproxy-cache", MFD_CLOEXEC | MFD_ALLOW_SEALING)}, size_{size} {
    if (!memory_) {
        fail(errno, "memfd_create");
    }
    if (::ftruncate(memory_.get(), static_cast<off_t>(size)) != 0 ||
        ::fcntl(memory_.get(), F_ADD_SEALS, seals) != 0) {
        fail(errno, "size of the shared memory");
    }
    map();
}

Region::Region(Fd memory, std::size_t size) : memory_{std::move(memory)}, size_{size} {
    struct stat status {};

    if (::fstat(memory_.get(), &status) != 0) {
        fail(errno, "fstat");
    }
    const int sealed = ::fcntl(memory_.get(), F_GET_SEALS);
    if (sealed < 0 || (sealed & seals) != seals || (sealed & F_SEAL_WRITE) != 0 ||
        status.st_size != static_cast<off_t>(size)) {
        fail(EINVAL, "not shared memory of this size");
    }
    map();
}

Region::~Region() {
    ::munmap(data_, size_);
}

void Region::map() {
    void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
    if (memory == MAP_FAILED) {
        fail(errno, "mmap");
    }
    data_ = static_cast<std::byte*>(memory);
    keep_undumped(data_, size_);
}

} // namespace dotproxy
