// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/prefix_list.hh"

#include "shared/anonymous.hh"

#include <algorithm>
#include <array>
#include <atomic>
#include <sys/mman.h>

namespace dotproxy {

/// A sequence lock: the version is odd while the rest is being written. What is read is numbers
/// that are held against bounds, so that nobody is hurt by what else may stand there.
struct PrefixList::Memory {
    struct Entry {
        std::atomic<std::uint64_t> high;
        std::atomic<std::uint64_t> low;
        std::atomic<std::uint32_t> length;
    };

    std::atomic<std::uint32_t> version;
    std::atomic<std::uint32_t> count;
    std::array<Entry, capacity> entries;
};

PrefixList::PrefixList() // all zero is what an empty one is
    : memory_{static_cast<Memory*>(map_shared(sizeof(Memory), "memory for a list of networks"))} {}

PrefixList::~PrefixList() {
    ::munmap(memory_, sizeof(Memory));
}

void PrefixList::write(std::span<const Prefix> prefixes) noexcept {
    // Each of what follows is released, and acquired by readers: who sees one of them sees that the
    // version was odd by then.
    constexpr auto release = std::memory_order_release;
    const std::uint32_t version = memory_->version.load(std::memory_order_relaxed) | 1U;
    const std::size_t count = std::min(prefixes.size(), capacity);
    memory_->version.store(version, std::memory_order_relaxed);
    for (std::size_t i = 0; i < count; ++i) {
        memory_->entries[i].high.store(prefixes[i].bits().high, release);
        memory_->entries[i].low.store(prefixes[i].bits().low, release);
        memory_->entries[i].length.store(prefixes[i].length(), release);
    }
    memory_->count.store(static_cast<std::uint32_t>(count), release);
    memory_->version.store(version + 1, release);
}

PrefixList::View::View(const PrefixList& list) : list_{list} {
    prefixes_.reserve(capacity);
    read_.reserve(capacity);
}

std::span<const Prefix> PrefixList::View::prefixes() noexcept {
    const std::uint32_t version = list_.memory_->version.load(std::memory_order_acquire);
    if (version != seen_ && version % 2 == 0) {
        read(version);
    }
    return prefixes_;
}

bool PrefixList::View::contain(const AddressBits& address) noexcept {
    return std::ranges::any_of(
        prefixes(), [&address](const Prefix& prefix) { return prefix.contains(address); });
}

void PrefixList::View::read(std::uint32_t version) noexcept {
    constexpr auto acquire = std::memory_order_acquire;
    const Memory& memory = *list_.memory_;
    read_.clear();
    const std::size_t count = std::min<std::size_t>(memory.count.load(acquire), capacity);
    for (std::size_t i = 0; i < count; ++i) {
        const Memory::Entry& entry = memory.entries[i];
        read_.emplace_back(
            AddressBits{.high = entry.high.load(acquire), .low = entry.low.load(acquire)},
            std::min(entry.length.load(acquire), std::uint32_t{Prefix::host_length}));
    }
    if (memory.version.load(std::memory_order_relaxed) == version) {
        prefixes_.swap(read_);
        seen_ = version;
    }
}

} // namespace dotproxy
