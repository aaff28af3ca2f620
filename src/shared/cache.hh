// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Cache: one process's view of the cache that all workers share. It stores octets under octets and
// knows nothing of DNS. Any process may die in any instruction: nobody waits for it, and nobody
// gets what it left half written; see Shard.
//
//     Cache cache{memory, max_stale};
//     if (auto entry = cache.find(key)) { ... entry->value, until the next call ... }
//     cache.insert({.key = key, .value = value, .stored_at = now, .ttl = 300}, now);
//
// Times are milliseconds of CLOCK_BOOTTIME (uptime()), which is the same in all processes, survives
// them, and counts the time that a laptop sleeps: an answer does not stay fresh in a closed lid.

#pragma once

#include "base/undumped.hh"
#include "shared/cache_memory.hh"
#include "shared/shard.hh"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace dotproxy {

/// What is in a cache.
struct CacheStats {
    std::size_t size{0};     // octets, all told
    std::size_t capacity{0}; // octets that entries can take
    std::size_t octets{0};   // octets that they took, and not given back yet
    std::size_t entries{0};  // that can be found
    std::uint64_t insertions{0};
    std::uint64_t evictions{0}; // of what could still have been used
    std::size_t shards{0};
    std::size_t fewest{0}; // entries in a shard
    std::size_t most{0};
};

class Cache {
  public:
    /// `memory` outlives it. What expired more than `max_stale` milliseconds ago is of no use.
    Cache(const CacheMemory& memory, std::uint64_t max_stale);

    /// Now, in milliseconds since the machine started.
    [[nodiscard]] static std::uint64_t uptime() noexcept;

    /// A private copy of what is stored under `key`, fresh or not; it lives until the next call.
    [[nodiscard]] std::optional<Entry> find(std::span<const std::uint8_t> key) noexcept;

    /// Stores an entry in place of what is there under the same key. It must not borrow from an
    /// entry found here.
    Stored insert(const Entry& entry, std::uint64_t now) noexcept;

    /// Whether the caller is the one in all processes to refresh what is under `key`, until
    /// `until`. Now and then it says no for the sake of another key, for whom somebody else does.
    [[nodiscard]] bool claim(std::span<const std::uint8_t> key, std::uint64_t now,
                             std::uint64_t until) noexcept;

    /// The refresh that was claimed `until` then is over.
    void release(std::span<const std::uint8_t> key, std::uint64_t until) noexcept;

    /// Has what failed up to `until`, which is now or a moment ago, count no more, for all
    /// processes. Which entries are failures is the caller's to know; they stay where they are.
    void end_failures(std::uint64_t until) noexcept;

    /// Up to when failures count no more; 0 when all do.
    [[nodiscard]] std::uint64_t failures_ended(std::uint64_t now) const noexcept;

    /// Forgets the entries for which `unwanted` returns true. Returns how many.
    std::size_t flush(const std::function<bool(const Entry&)>& unwanted) noexcept;

    /// Looks at the whole index: for the control plane.
    [[nodiscard]] CacheStats stats() const noexcept;

  private:
    [[nodiscard]] std::atomic<std::uint64_t>&
    claim_of(std::span<const std::uint8_t> key) const noexcept;

    [[nodiscard]] Shard& shard(std::uint64_t hash) noexcept {
        return shards_[hash & (shards_.size() - 1)];
    }

    const CacheMemory& memory_;
    std::uint64_t max_stale_;
    Undumped<EntryBuffer> buffer_; // takes memory only as far as entries are large
    std::vector<Shard> shards_;
};

} // namespace dotproxy
