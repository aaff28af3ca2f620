// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// One shard, in memory that is this process's own or that its children share.

#pragma once

#include "shared/region.hh"
#include "shared/self_describing.hh"
#include "shared/shard.hh"

#include <memory>

namespace dotproxy::test {

class ShardRig {
  public:
    explicit ShardRig(const Shard::Layout& size)
        : layout{size}, region_{size.size()}, buffer_{std::make_unique<EntryBuffer>()},
          shard{region_.data(), layout, sip, *buffer_} {
        ready = shard.prepare() == 0;
    }

    /// Another view of the same shard with a buffer of its own.
    [[nodiscard]] Shard view(EntryBuffer& buffer) const noexcept {
        return {region_.data(), layout, sip, buffer};
    }

    [[nodiscard]] std::uint64_t hash(std::span<const std::uint8_t> key) const noexcept {
        return sip(key);
    }

    /// Inserts a version of a key with a value of `size` octets, under the key's own hash.
    Stored put(std::uint64_t number, std::uint32_t version, std::size_t size) {
        Sample sample{number, version, size};
        return shard.insert(hash(sample.key), sample.entry(), now, max_stale);
    }

    /// The version found under a key, -1 for nothing, -2 for what was never inserted.
    std::int64_t get(std::uint64_t number) {
        const Octets key = key_of(number);
        const std::optional<Entry> found = shard.find(hash(key), key);
        if (!found) {
            return -1;
        }
        const std::int64_t version = version_of(*found, key);
        return version < 0 ? -2 : version;
    }

    /// Whether each of the keys below `count` gives something that was once inserted, or nothing.
    bool is_whole(std::uint64_t count) {
        bool whole = true;
        for (std::uint64_t i = 0; i < count; ++i) {
            whole = get(i) != -2 && whole;
        }
        return whole;
    }

    [[nodiscard]] ShardHead& head() const noexcept {
        return *static_cast<ShardHead*>(static_cast<void*>(region_.data()));
    }

    [[nodiscard]] Bucket* buckets() const noexcept {
        return static_cast<Bucket*>(static_cast<void*>(region_.data() + sizeof(ShardHead)));
    }

    /// The whole of the shared memory.
    [[nodiscard]] std::span<std::byte> memory() const noexcept {
        return {region_.data(), layout.size()};
    }

    SipHash sip{{0x0706050403020100U, 0x0f0e0d0c0b0a0908U}};
    Shard::Layout layout;
    std::uint64_t now{stored_at(0)};
    std::uint64_t max_stale{0};
    bool ready{false};

  private:
    Region region_;
    std::unique_ptr<EntryBuffer> buffer_;

  public:
    Shard shard;
};

} // namespace dotproxy::test
