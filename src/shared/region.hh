// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Region: memory that several processes share and that outlives each of them: a sealed memfd. It
// knows nothing of what is in it.

#pragma once

#include "base/fd.hh"

#include <cstddef>

namespace dotproxy {

class Region {
  public:
    /// Makes an empty one of `size` octets, all zero. Throws std::system_error.
    explicit Region(std::size_t size);
    /// Takes one that another process made. Throws std::system_error when `memory` cannot be mapped
    /// or is not what the other constructor makes: a memfd of this size that nobody can resize.
    Region(Fd memory, std::size_t size);
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;
    ~Region();

    [[nodiscard]] std::byte* data() const noexcept { return data_; }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// What another process needs to map it; stays owned by this.
    [[nodiscard]] int fd() const noexcept { return memory_.get(); }

  private:
    void map();

    Fd memory_;
    std::size_t size_;
    std::byte* data_{nullptr};
};

} // namespace dotproxy
