// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Blocks: large blocks of memory of which little is ever touched. nghttp2 has a buffer of 16 KiB
// for each connection and writes a few frames to its beginning; from malloc it would get pages that
// others have touched, and an idle client would hold them all.

#pragma once

#include <cstddef>
#include <vector>

namespace dotproxy::http {

class Blocks {
  public:
    static constexpr std::size_t size = 16400; // octets of each that are of use

    /// Up to `most` octets of them, mapped when the first one is taken. They are the kernel's until
    /// they are touched; where it has no room for them there are none.
    explicit Blocks(std::size_t most) noexcept : left_{most / stride} {}

    Blocks(const Blocks&) = delete;
    Blocks& operator=(const Blocks&) = delete;
    ~Blocks();

    /// One whose pages nobody has touched; nullptr: all are taken.
    [[nodiscard]] void* take() noexcept;
    void give_back(void* block) noexcept;

    [[nodiscard]] bool owns(const void* memory) const noexcept {
        const auto* const octet = static_cast<const std::byte*>(memory);
        return octet >= begin_ && octet < begin_ + count_ * stride;
    }

  private:
    void map() noexcept;

    static constexpr std::size_t stride = std::size_t{20} << 10U; // whole pages

    std::size_t left_; // to be mapped
    std::byte* begin_{nullptr};
    std::size_t count_{0};
    std::size_t used_{0};     // [0, used_) have been taken once
    std::vector<void*> free_; // of those
};

} // namespace dotproxy::http
