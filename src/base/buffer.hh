// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Buffer: octets on their way out, appended at the back, taken from the front.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dotproxy {

/// A queue of octets. It has no limit of its own: who appends checks size() first (L29, L30).
class Buffer {
  public:
    [[nodiscard]] bool empty() const noexcept { return start_ == octets_.size(); }

    [[nodiscard]] std::size_t size() const noexcept { return octets_.size() - start_; }

    [[nodiscard]] std::span<const std::uint8_t> view() const noexcept {
        return std::span{octets_}.subspan(start_);
    }

    void append(std::span<const std::uint8_t> octets) {
        octets_.insert(octets_.end(), octets.begin(), octets.end());
    }

    /// Makes room for `size` octets at the back, to be written in place; trim() gives back the
    /// rest.
    [[nodiscard]] std::span<std::uint8_t> grow(std::size_t size) {
        const std::size_t at = octets_.size();
        octets_.resize(at + size);
        return std::span{octets_}.subspan(at);
    }

    /// Drops the last `size` octets.
    void trim(std::size_t size) noexcept { octets_.resize(octets_.size() - size); }

    /// Drops the first `size` octets, at most size().
    void consume(std::size_t size) noexcept {
        start_ += size;
        if (empty()) {
            octets_.clear();
            start_ = 0;
        } else if (start_ >= compact_at) {
            octets_.erase(octets_.begin(), octets_.begin() + static_cast<std::ptrdiff_t>(start_));
            start_ = 0;
        }
    }

    void clear() noexcept { consume(size()); }

    /// Frees the memory of an empty buffer: what is idle shall cost nothing.
    void release() noexcept {
        if (empty()) {
            std::vector<std::uint8_t>{}.swap(octets_);
            start_ = 0;
        }
    }

  private:
    // Moving the rest to the front costs as much as it has octets; this bounds how often.
    static constexpr std::size_t compact_at = 65536;

    std::vector<std::uint8_t> octets_;
    std::size_t start_{0};
};

} // namespace dotproxy
