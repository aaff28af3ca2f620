// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Shard: one part of the cache: a ring of entries and an index of it, in memory that other
// processes read and write at the same time and may die in at any instruction.
//
// Positions in the ring only grow; an entry stands at its position modulo the size of the ring.
//
//         tail                head
//     ------+------+------+-----+------      the entries between are valid, the oldest at the tail
//
// Readers take no lock. A slot of the index says where an entry stands; the reader copies it, and
// if the tail has not passed it meanwhile, the copy is whole. Then the copy is believed as far as
// it can be checked, and no further (L66).
//
// A writer holds the mutex, which the kernel takes from a dead owner. It moves the tail first,
// then writes the octets, then moves the head, and publishes last, with one store to a slot.
// Wherever it dies, the shard is sound: what was not published is never found and is overwritten in
// its turn. It never waits for the mutex: what cannot be stored now is not stored.
//
// What was used since it was written is moved from the tail to the head instead of dropped.
//
// The index begins small and doubles where a bucket is full, so that the memory it takes follows
// what is stored. What stood in bucket i is in 2i or 2i + 1 then; until it is, a reader may miss
// it.

#pragma once

#include "base/siphash.hh"
#include "shared/entry.hh"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <pthread.h>
#include <span>

namespace dotproxy {

/// The head of a shard in shared memory. One cache line for the writers, one that readers read.
struct ShardHead {
    alignas(64) pthread_mutex_t mutex;
    std::atomic<std::uint64_t> insertions;
    std::atomic<std::uint64_t> evictions; // of what could still have been used
    alignas(64) std::atomic<std::uint64_t> head;
    std::atomic<std::uint64_t> tail;
    std::atomic<std::uint64_t> halvings; // how often the index can still double
};

/// Eight slots, so that one look-up touches one cache line of the index. A slot: whether the entry
/// is being moved to it (1 bit), a piece of the hash (11), the end of the number that its bucket
/// has in an index of full size (7), whether the entry was used since it was written (1), its
/// position (44).
struct alignas(64) Bucket {
    std::array<std::atomic<std::uint64_t>, 8> slots;
};

/// What an insertion did.
enum class Stored : std::uint8_t {
    yes,
    too_big,
    busy, // another writer is at it
};

class Shard {
  public:
    /// How large the parts are. The same in every process.
    struct Layout {
        std::uint32_t buckets;    // when the index has its full size
        std::uint64_t ring_words; // of 8 octets

        /// Octets that a shard takes.
        [[nodiscard]] std::size_t size() const noexcept {
            return sizeof(ShardHead) + buckets * sizeof(Bucket) + ring_words * 8;
        }
    };

    /// The longest key, and the largest entry with its key and header, in octets.
    static constexpr std::size_t max_key = entry_words::max_key;
    static constexpr std::size_t max_entry = sizeof(EntryBuffer);

    /// A view of a shard at `memory` (64-octet aligned, all zero or used by a Shard before). `hash`
    /// is what the hashes of keys are made with; it and the buffer outlive the view.
    Shard(std::byte* memory, const Layout& layout, const SipHash& hash,
          EntryBuffer& buffer) noexcept;

    /// Makes a shard of zeros usable, and one that others left; nobody else uses it meanwhile.
    /// Returns 0, or an error number when the system has no robust mutex.
    [[nodiscard]] int prepare() noexcept;

    /// Copies the entry with this key into the buffer.
    [[nodiscard]] std::optional<Entry> find(std::uint64_t hash,
                                            std::span<const std::uint8_t> key) noexcept;

    /// `entry` must not borrow from the buffer. What expired more than `max_stale` milliseconds
    /// before `now` is of no use to anybody any more.
    [[nodiscard]] Stored insert(std::uint64_t hash, const Entry& entry, std::uint64_t now,
                                std::uint64_t max_stale) noexcept;

    /// Forgets the entries for which `unwanted` returns true, without a lock. Returns how many.
    /// What a writer is moving at that moment may be forgotten as well.
    std::size_t remove_if(const std::function<bool(const Entry&)>& unwanted) noexcept;

    /// Forgets everything and gives the pages of index and ring back to the system, while others
    /// read and write. The head stays, and a page at either end that is not the shard's alone.
    /// false: the system keeps them, as memory that is no file's.
    bool give_back() noexcept;

    [[nodiscard]] std::uint64_t insertions() const noexcept;
    [[nodiscard]] std::uint64_t evictions() const noexcept;
    /// Entries that can be found.
    [[nodiscard]] std::size_t entries() const noexcept;
    /// Octets of the ring in use, by those and by what nothing points to any more.
    [[nodiscard]] std::size_t octets() const noexcept;

  private:
    using Slot = std::atomic<std::uint64_t>;
    class Lock;

    [[nodiscard]] std::uint64_t halvings() const noexcept;
    [[nodiscard]] std::uint64_t buckets() const noexcept;
    [[nodiscard]] std::uint64_t number_of(std::uint64_t hash) const noexcept;
    [[nodiscard]] Bucket& bucket(std::uint64_t hash) const noexcept;
    [[nodiscard]] bool alive(std::uint64_t slot) const noexcept;
    [[nodiscard]] std::optional<Entry> read(std::uint64_t position) const noexcept;
    [[nodiscard]] bool remove_if(Slot& slot,
                                 const std::function<bool(const Entry&)>& unwanted) noexcept;

    // For whoever holds the mutex.
    void repair() noexcept;
    [[nodiscard]] bool grow() noexcept;
    static void move(Slot& from, std::uint64_t word, Slot& to) noexcept;
    [[nodiscard]] std::uint64_t room_for(std::uint64_t words) const noexcept;
    void make_room(std::uint64_t words, std::uint64_t now, std::uint64_t max_stale) noexcept;
    [[nodiscard]] bool move_to_head(Slot& slot, std::uint64_t was) noexcept;
    [[nodiscard]] Slot* slot_of(std::uint64_t hash, std::uint64_t position) const noexcept;
    [[nodiscard]] Slot& slot_for(std::uint64_t hash, std::span<const std::uint8_t> key) noexcept;
    [[nodiscard]] std::uint64_t append(std::uint64_t words) noexcept;

    ShardHead* head_;
    Bucket* buckets_;
    std::uint64_t* ring_;
    Layout layout_;
    const SipHash* hash_;
    EntryBuffer* buffer_;
};

} // namespace dotproxy
