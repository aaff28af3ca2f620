// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/blocks.hh"

#include "base/undumped.hh"

#include <new>
#include <sys/mman.h>
#include <utility>

namespace dotproxy::http {

void Blocks::map() noexcept {
    const std::size_t count = std::exchange(left_, 0);
    try {
        free_.reserve(count);
        begin_ = static_cast<std::byte*>(map_undumped(count * stride));
        count_ = count;
    } catch (const std::bad_alloc&) {
        return; // malloc goes on with what there is
    }
    // A large page would be touched as a whole.
    static_cast<void>(::madvise(begin_, count_ * stride, MADV_NOHUGEPAGE));
}

Blocks::~Blocks() {
    if (begin_ != nullptr) {
        unmap_undumped(begin_, count_ * stride);
    }
}

void* Blocks::take() noexcept {
    if (left_ > 0) {
        map();
    }
    if (!free_.empty()) {
        void* const block = free_.back();
        free_.pop_back();
        return block;
    }
    return used_ < count_ ? begin_ + used_++ * stride : nullptr;
}

void Blocks::give_back(void* block) noexcept {
    static_cast<void>(::madvise(block, stride, MADV_DONTNEED));
    free_.push_back(block); // there is room for all
}

} // namespace dotproxy::http
