// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// PrefixList: prefixes in memory that all processes share. One of them writes them; the others look
// whether they have changed.

#pragma once

#include "base/prefix.hh"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dotproxy {

class PrefixList {
  public:
    /// None yet. Throws std::system_error when there is no memory.
    PrefixList();
    PrefixList(const PrefixList&) = delete;
    PrefixList& operator=(const PrefixList&) = delete;
    ~PrefixList();

    /// There is room for no more.
    static constexpr std::size_t capacity = 256;

    /// Tells all processes; of too many the first. For one process alone.
    void write(std::span<const Prefix> prefixes) noexcept;

    /// What one reader knows of it, which it must not outlive.
    class View {
      public:
        /// Throws std::bad_alloc.
        explicit View(const PrefixList& list);

        /// What there is now; while it is being written, what there was before.
        [[nodiscard]] std::span<const Prefix> prefixes() noexcept;

        /// Of what prefixes() gave last: another number for each time it was written; 0: never.
        [[nodiscard]] std::uint32_t version() const noexcept { return seen_; }

        /// Whether the address is in one of them now. With n of them that takes n nanoseconds.
        [[nodiscard]] bool contain(const AddressBits& address) noexcept;

      private:
        void read(std::uint32_t version) noexcept;

        const PrefixList& list_;
        std::uint32_t seen_{0};
        std::vector<Prefix> prefixes_; // with all its capacity, and
        std::vector<Prefix> read_;     // as much again, for what may turn out to be half written
    };

  private:
    struct Memory;

    Memory* memory_;
};

} // namespace dotproxy
