// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
//      page 0   Header, and in a cache line of its own the end of failures
//      page 1   the claims
//      page 9   shard 0, shard 1, ...

#include "shared/cache_memory.hh"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace dotproxy {

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t failures_ended_at = 128;
constexpr std::size_t claim_count = 4096;
constexpr std::size_t first_shard = page + claim_count * sizeof(std::uint64_t);

// A quarter of its ring holds an entry of the largest kind.
constexpr std::size_t smallest_shard = std::size_t{1} << 19U;
constexpr std::uint32_t most_shards = 64;

// Of nine octets, one is for the index: an entry of 72 octets would fill a slot each.
constexpr std::size_t octets_per_bucket = 9 * sizeof(Bucket);

/// What has to be equal, octet by octet, in whatever uses the same memory.
struct Likeness {
    char magic[16];
    std::uint32_t version; // of everything in this room that lies in shared memory
    std::uint32_t byte_order;
    std::uint64_t kind; // of the values
    std::uint64_t size;
    std::uint64_t ring_words;
    std::uint32_t buckets;
    std::uint32_t shards;
    std::uint32_t shard_head_size;
    std::uint32_t mutex_size;
};

static_assert(sizeof(Likeness) == 64, "no padding: it is compared octet by octet");

struct Header {
    Likeness likeness;
    SipHash::Key secret;
};

static_assert(sizeof(Header) <= failures_ended_at);

std::uint32_t shards_for(std::size_t size) noexcept {
    return static_cast<std::uint32_t>(
        std::min<std::size_t>(std::bit_floor(size / smallest_shard), most_shards));
}

Shard::Layout layout_for(std::size_t size) noexcept {
    // A multiple of what all parts of a shard are multiples of.
    const std::size_t shard =
        (size - first_shard) / shards_for(size) / sizeof(Bucket) * sizeof(Bucket);
    const std::size_t buckets = (shard - sizeof(ShardHead)) / octets_per_bucket;
    return {.buckets = static_cast<std::uint32_t>(buckets),
            .ring_words = (shard - sizeof(ShardHead) - buckets * sizeof(Bucket)) / 8};
}

Likeness likeness_for(std::size_t size, std::uint64_t kind) noexcept {
    const Shard::Layout layout = layout_for(size);
    return {.magic = "dotproxy cache\n",
            .version = 3,
            .byte_order = 0x01020304U,
            .kind = kind,
            .size = size,
            .ring_words = layout.ring_words,
            .buckets = layout.buckets,
            .shards = shards_for(size),
            .shard_head_size = sizeof(ShardHead),
            .mutex_size = sizeof(pthread_mutex_t)};
}

/// Why what was found cannot be used, for the administrator. Its kind changes with the upstreams
/// far more often than with the program.
const char* difference(Likeness found, const Likeness& expected) noexcept {
    const bool other_size = found.size != expected.size;
    found.kind = expected.kind;
    return std::memcmp(&found, &expected, sizeof found) == 0
               ? "what was kept are the answers of other upstreams"
           : other_size ? "what was kept is of another size"
                        : "what was kept is of another version of dotproxy";
}

SipHash new_cache(const Region& region, std::uint64_t kind) {
    const Header header{.likeness = likeness_for(region.size(), kind),
                        .secret = SipHash::draw_key()};
    std::memcpy(region.data(), &header, sizeof header);
    return SipHash{header.secret};
}

SipHash cache_of_others(const Region& region, std::uint64_t kind) {
    const Likeness expected = likeness_for(region.size(), kind);
    Header header{};
    std::memcpy(&header, region.data(), sizeof header);
    if (std::memcmp(&header.likeness, &expected, sizeof expected) != 0) {
        throw std::runtime_error{difference(header.likeness, expected)};
    }
    return SipHash{header.secret};
}

} // namespace

CacheMemory::CacheMemory(std::size_t size, std::uint64_t kind)
    : asked_size_{size}, kind_{kind}, shards_{shards_for(size)}, layout_{layout_for(size)},
      region_{size}, hash_{new_cache(region_, kind)} {
    prepare_shards();
}

CacheMemory::CacheMemory(Fd memory, std::size_t size, std::uint64_t kind)
    : asked_size_{size}, kind_{kind}, shards_{shards_for(size)}, layout_{layout_for(size)},
      region_{std::move(memory), size}, hash_{cache_of_others(region_, kind)} {
    prepare_shards();
}

Shard CacheMemory::shard(std::uint32_t index, EntryBuffer& buffer) const noexcept {
    return {region_.data() + first_shard + index * layout_.size(), layout_, hash_, buffer};
}

std::span<std::atomic<std::uint64_t>> CacheMemory::claims() const noexcept {
    void* first = region_.data() + page;
    return {static_cast<std::atomic<std::uint64_t>*>(first), claim_count};
}

std::atomic<std::uint64_t>& CacheMemory::failures_ended() const noexcept {
    void* word = region_.data() + failures_ended_at;
    return *static_cast<std::atomic<std::uint64_t>*>(word);
}

bool CacheMemory::give_back() const noexcept {
    EntryBuffer buffer; // NOLINT(*-member-init): not read
    bool done = true;
    for (std::uint32_t i = 0; i < shards_; ++i) {
        done = shard(i, buffer).give_back() && done;
    }
    return done;
}

void CacheMemory::prepare_shards() const {
    EntryBuffer buffer; // NOLINT(*-member-init): not read
    for (std::uint32_t i = 0; i < shards_; ++i) {
        if (const int error = shard(i, buffer).prepare(); error != 0) {
            throw std::system_error{error, std::generic_category(), "robust mutex"};
        }
    }
}

} // namespace dotproxy
