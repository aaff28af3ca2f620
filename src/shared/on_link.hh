// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// OnLink: the prefixes of this machine's interfaces, in memory that all processes share (limits
// 41). The master writes what the kernel says; workers look whether it has changed.

#pragma once

#include "base/prefix.hh"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dotproxy {

class OnLink {
  public:
    /// None yet. Throws std::system_error when there is no memory.
    OnLink();
    OnLink(const OnLink&) = delete;
    OnLink& operator=(const OnLink&) = delete;
    ~OnLink();

    /// There is room for no more.
    static constexpr std::size_t capacity = 256;

    /// Tells all processes; of too many the first. For one process alone.
    void write(std::span<const Prefix> prefixes) noexcept;

    /// What one reader knows of it, which it must not outlive.
    class View {
      public:
        /// Throws std::bad_alloc.
        explicit View(const OnLink& on_link);

        /// What there is now; while it is being written, what there was before.
        [[nodiscard]] std::span<const Prefix> prefixes() noexcept;

        /// Another number for other prefixes, as prefixes() had them last.
        [[nodiscard]] std::uint32_t version() const noexcept { return seen_; }

      private:
        void read(std::uint32_t version) noexcept;

        const OnLink& on_link_;
        std::uint32_t seen_{0};
        std::vector<Prefix> prefixes_; // with all its capacity, and
        std::vector<Prefix> read_;     // as much again, for what may turn out to be half written
    };

  private:
    struct Memory;

    Memory* memory_;
};

} // namespace dotproxy
