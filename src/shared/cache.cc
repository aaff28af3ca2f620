// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/cache.hh"

#include <algorithm>
#include <ctime>

namespace dotproxy {

namespace {

// Another process may have looked at the clock so much later than the caller did, in milliseconds:
// the caller may have stood still since. A time that is further off was scribbled.
constexpr std::uint64_t most_ahead = 10'000;

} // namespace

Cache::Cache(const CacheMemory& memory, std::uint64_t max_stale)
    : memory_{memory}, max_stale_{max_stale} {
    shards_.reserve(memory.shards());
    for (std::uint32_t i = 0; i < memory.shards(); ++i) {
        shards_.push_back(memory.shard(i, *buffer_));
    }
}

std::uint64_t Cache::uptime() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

std::optional<Entry> Cache::find(std::span<const std::uint8_t> key) noexcept {
    const std::uint64_t hash = memory_.hash()(key);
    return shard(hash).find(hash, key);
}

Stored Cache::insert(const Entry& entry, std::uint64_t now) noexcept {
    const std::uint64_t hash = memory_.hash()(entry.key);
    return shard(hash).insert(hash, entry, now, max_stale_);
}

bool Cache::claim(std::span<const std::uint8_t> key, std::uint64_t now,
                  std::uint64_t until) noexcept {
    std::atomic<std::uint64_t>& claim = claim_of(key);
    std::uint64_t held_until = claim.load(std::memory_order_relaxed);
    // Whoever holds it may have looked at the clock after the caller did; but one from the far
    // future was scribbled.
    if (held_until > now && held_until - now <= 2 * (until - now)) {
        return false;
    }
    return claim.compare_exchange_strong(held_until, until, std::memory_order_relaxed);
}

void Cache::release(std::span<const std::uint8_t> key, std::uint64_t until) noexcept {
    claim_of(key).compare_exchange_strong(until, 0, std::memory_order_relaxed);
}

void Cache::end_failures(std::uint64_t until) noexcept {
    std::atomic<std::uint64_t>& ended = memory_.failures_ended();
    std::uint64_t known = ended.load(std::memory_order_relaxed);
    while (known < until || known - until > most_ahead) {
        if (ended.compare_exchange_weak(known, until, std::memory_order_relaxed)) {
            return;
        }
    }
}

std::uint64_t Cache::failures_ended(std::uint64_t now) const noexcept {
    const std::uint64_t ended = memory_.failures_ended().load(std::memory_order_relaxed);
    return ended <= now || ended - now <= most_ahead ? ended : 0;
}

std::atomic<std::uint64_t>& Cache::claim_of(std::span<const std::uint8_t> key) const noexcept {
    const auto claims = memory_.claims();
    return claims[memory_.hash()(key) % claims.size()];
}

std::size_t Cache::flush(const std::function<bool(const Entry&)>& unwanted) noexcept {
    std::size_t removed = 0;
    for (Shard& shard : shards_) {
        removed += shard.remove_if(unwanted);
    }
    return removed;
}

CacheStats Cache::stats() const noexcept {
    CacheStats stats{.size = memory_.size(),
                     .capacity = memory_.capacity(),
                     .shards = shards_.size(),
                     .fewest = ~std::size_t{0}};
    for (const Shard& shard : shards_) {
        const std::size_t entries = shard.entries();
        stats.entries += entries;
        stats.fewest = std::min(stats.fewest, entries);
        stats.most = std::max(stats.most, entries);
        stats.octets += shard.octets();
        stats.insertions += shard.insertions();
        stats.evictions += shard.evictions();
    }
    return stats;
}

} // namespace dotproxy
