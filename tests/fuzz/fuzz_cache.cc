// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Hostile shared memory (L66): whatever stands in the positions, the index and the ring of a shard,
// nothing outside of it is read or written, nothing loops for ever, and what is inserted is found
// afterwards.
//
// An input: an octet that says how many buckets, one for the words of the ring, one of flags, then
// the octets of everything behind the mutex, again and again until that is full, and once more from
// their beginning for the ring. What is random never gets past the positions and the checks of
// entries; so flags make these right where they lie.

#include "shared/shard.hh"

#include "fuzz/fuzz.hh"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace {

using namespace dotproxy;
using dotproxy::fuzz::require;
using Octets = std::span<const std::uint8_t>;

enum Flag : unsigned {
    right_positions = 1, // the ring is full, and its entries follow each other
    right_checks = 2,
    slots_in_use = 4,
};

// As shard.cc has it.
constexpr std::uint64_t size_mask = 0xffff;
constexpr unsigned position_shift = 16;
constexpr unsigned key_shift = 3;
constexpr std::size_t header_words = 3;
constexpr std::uint64_t used_bit = std::uint64_t{1} << 51U;

std::uint64_t check_of(std::span<const std::uint64_t> words) noexcept {
    constexpr std::uint64_t multiplier = 0x9e3779b97f4a7c15U;
    std::uint64_t sum = multiplier;
    for (std::size_t i = 0; i < words.size(); ++i) {
        sum = (std::rotl(sum, 23) ^ (i == 2 ? words[i] & 0xffffffffU : words[i])) * multiplier;
    }
    return sum >> 32U;
}

/// A shard in memory of exactly its size: a sanitizer sees the first octet beyond it.
class Target {
  public:
    Target(Octets input, const Shard::Layout& layout, unsigned flags)
        : layout_{layout}, octets_{static_cast<std::byte*>(std::aligned_alloc(
                               alignof(ShardHead), (layout.size() + 63) & ~63U))},
          buffer_{std::make_unique_for_overwrite<EntryBuffer>()}, shard_{octets_.get(), layout,
                                                                         hash_, *buffer_} {
        const std::span memory{octets_.get(), layout.size()};
        const std::size_t ring = layout.size() - layout.ring_words * 8;
        constexpr std::size_t behind_mutex = offsetof(ShardHead, insertions);
        std::ranges::fill(memory, std::byte{});
        repeat(input, memory.subspan(behind_mutex, ring - behind_mutex));
        repeat(input, memory.subspan(ring));
        if ((flags & right_positions) != 0) {
            mend(flags);
        }
        require(shard_.prepare() == 0, "prepared");
    }

    // Before anything else is done: what all that is there looks like to a reader.
    void find_what_is_there() {
        require(shard_.entries() <= layout_.buckets * std::size_t{8}, "entries have slots");
        require(shard_.octets() <= layout_.ring_words * 8, "octets are the ring's");
        const std::span<const std::uint64_t> words = ring();
        for (std::size_t at = 0; at + header_words < words.size(); ++at) {
            // What begins nowhere near here is found nowhere: some of that is enough.
            if (at % 16 != 0 && words[at] >> position_shift != layout_.ring_words + at) {
                continue;
            }
            const auto* octets = reinterpret_cast<const std::uint8_t*>(&words[at + header_words]);
            const std::size_t left = (words.size() - at - header_words) * 8;
            const std::size_t size = (words[at + 1] & size_mask) >> key_shift;
            const Octets key{octets, std::min(size, left)};
            find(0, key);
            find(hash_(key), key);
        }
    }

    void remove(std::uint8_t divisor) {
        const std::size_t before = shard_.entries();
        const std::size_t removed = shard_.remove_if(
            [divisor](const Entry& entry) { return sum_of(entry) % 256 < divisor; });
        require(removed <= before, "what was there was removed");
    }

    void store() {
        std::array<std::uint8_t, 1024> value{};
        const std::size_t most = std::min(value.size(), (layout_.ring_words / 4 - 4) * 8);
        for (std::size_t i = 0; i < 40; ++i) {
            const std::uint8_t name[] = {static_cast<std::uint8_t>(i), 1, 2, 3, 4, 5, 6, 7};
            value.fill(static_cast<std::uint8_t>(i));
            const Entry entry{.key = name,
                              .value = std::span{value}.first(std::min(i * 8, most)),
                              .stored_at = i,
                              .ttl = 1};
            const std::uint64_t hash = hash_(name);
            require(shard_.insert(hash, entry, 10 * i, 0) == Stored::yes, "stored");
            const std::optional<Entry> found = shard_.find(hash, name);
            require(found && std::ranges::equal(found->value, entry.value), "found");
        }
    }

  private:
    static void repeat(Octets input, std::span<std::byte> memory) noexcept {
        for (std::size_t i = 0; i < memory.size(); i += input.size()) {
            const std::size_t part = std::min(input.size(), memory.size() - i);
            std::memcpy(&memory[i], input.data(), part);
        }
    }

    // Reads all of it, so that a sanitizer sees what does not belong to it, and writes the value.
    static std::uint64_t sum_of(const Entry& entry) noexcept {
        std::uint64_t sum = entry.expires_at();
        for (const std::uint8_t octet : entry.key) {
            sum += octet;
        }
        for (std::uint8_t& octet : entry.value) {
            sum += octet++;
        }
        return sum;
    }

    [[nodiscard]] std::span<std::uint64_t> ring() const noexcept {
        void* first = octets_.get() + layout_.size() - layout_.ring_words * 8;
        return {static_cast<std::uint64_t*>(first), layout_.ring_words};
    }

    [[nodiscard]] ShardHead& head() const noexcept {
        return *static_cast<ShardHead*>(static_cast<void*>(octets_.get()));
    }

    [[nodiscard]] std::span<Bucket> buckets() const noexcept {
        void* first = octets_.get() + sizeof(ShardHead);
        return {static_cast<Bucket*>(first), layout_.buckets};
    }

    void find(std::uint64_t hash, Octets key) {
        if (const std::optional<Entry> entry = shard_.find(hash, key)) {
            require(std::ranges::equal(entry->key, key), "only the same key is found");
            (void)sum_of(*entry);
        }
    }

    // The sizes of entries stay as they are where they can.
    void mend(unsigned flags) {
        const std::uint64_t used = (flags & slots_in_use) != 0 ? used_bit : 0;
        head().tail = layout_.ring_words;
        head().head = 2 * layout_.ring_words;
        const std::span<std::uint64_t> words = ring();
        std::size_t count = 0;
        for (std::size_t at = 0; at < words.size();) {
            const std::uint64_t left = words.size() - at;
            const std::uint64_t size = std::clamp(words[at] & size_mask, std::uint64_t{1}, left);
            const std::span entry = words.subspan(at, size);
            entry[0] = (layout_.ring_words + at) << position_shift | size;
            if (size >= header_words && (flags & right_checks) != 0) {
                entry[2] = check_of(entry) << 32U | (entry[2] & 0xffffffffU);
            }
            if (count < layout_.buckets * std::size_t{8}) {
                buckets()[count / 8].slots[count % 8] = (layout_.ring_words + at) | used;
                ++count;
            }
            at += size;
        }
    }

    SipHash hash_{{0, 0}};
    Shard::Layout layout_;

    struct Free {
        void operator()(std::byte* octets) const noexcept { std::free(octets); }
    };

    std::unique_ptr<std::byte, Free> octets_;
    std::unique_ptr<EntryBuffer> buffer_;
    Shard shard_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t choices = 3;
    if (size <= choices) {
        return 0;
    }
    const Shard::Layout layout{.buckets = data[0] % 4U + 1, .ring_words = data[1] % 128U + 64};
    Target target{{data + choices, size - choices}, layout, data[2]};
    target.find_what_is_there();
    target.remove(data[2]);
    target.find_what_is_there();
    target.store();
    target.remove(255);
    return 0;
}
