// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// CacheMemory: the memory of a cache, how it is divided, and the secret its hashes are made with.
// The master makes it, or takes over what the master before it left with the service manager; the
// workers inherit it by fork.

#pragma once

#include "base/fd.hh"
#include "base/siphash.hh"
#include "shared/region.hh"
#include "shared/shard.hh"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace dotproxy {

class CacheMemory {
  public:
    static constexpr std::size_t smallest = std::size_t{1} << 20U;

    /// An empty cache of about `size` octets, `smallest` at least. `kind` stands for
    /// what the values are: their encoding, and whatever else must be the same to use them. Throws
    /// std::system_error.
    CacheMemory(std::size_t size, std::uint64_t kind);
    /// What another process made with the same arguments, which no process uses any more. Throws
    /// std::runtime_error when anything about it is not as this process would have made it.
    CacheMemory(Fd memory, std::size_t size, std::uint64_t kind);

    /// A view of a shard, of which there are shards(); see Shard.
    [[nodiscard]] Shard shard(std::uint32_t index, EntryBuffer& buffer) const noexcept;

    [[nodiscard]] std::uint32_t shards() const noexcept { return shards_; }

    [[nodiscard]] const SipHash& hash() const noexcept { return hash_; }

    /// Words that say until when somebody refreshes an entry; see Cache::claim().
    [[nodiscard]] std::span<std::atomic<std::uint64_t>> claims() const noexcept;

    /// The word that says up to when failures count no more; see Cache::end_failures().
    [[nodiscard]] std::atomic<std::uint64_t>& failures_ended() const noexcept;

    /// As asked for, in octets.
    [[nodiscard]] std::size_t size() const noexcept { return asked_size_; }

    [[nodiscard]] std::uint64_t kind() const noexcept { return kind_; }

    /// Octets of all rings.
    [[nodiscard]] std::size_t capacity() const noexcept {
        return std::size_t{shards_} * layout_.ring_words * 8;
    }

    [[nodiscard]] int fd() const noexcept { return region_.fd(); }

    /// Forgets everything and gives the memory of entries back to the system; see Shard.
    bool give_back() const noexcept;

  private:
    void prepare_shards() const;

    std::size_t asked_size_;
    std::uint64_t kind_;
    std::uint32_t shards_;
    Shard::Layout layout_;
    Region region_;
    SipHash hash_;
};

} // namespace dotproxy
