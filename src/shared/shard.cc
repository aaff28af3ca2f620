// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Every word of the ring is read and written as an atomic one, with acquire and release: a reader
// that sees any octet of a new entry sees that the tail has passed the old one. On x86 these are
// plain loads and stores.

#include "shared/shard.hh"

#include <algorithm>
#include <cerrno>
#include <sys/mman.h>
#include <unistd.h>

namespace dotproxy {

namespace {

// A lock that an atomic word hides would be one of this process alone.
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free);

constexpr unsigned position_bits = 44;
constexpr std::uint64_t position_mask = (std::uint64_t{1} << position_bits) - 1;
constexpr std::uint64_t used_bit = std::uint64_t{1} << position_bits;
constexpr unsigned number_shift = position_bits + 1;
constexpr std::uint64_t most_halvings = 7;                    // as many bits of a bucket's number
constexpr std::uint64_t moving_bit = std::uint64_t{1} << 63U; // which no tag has
constexpr std::uint64_t tag_mask = ~std::uint64_t{0} << (number_shift + most_halvings);

// An insertion moves entries from the tail to the head until they are so many times its own size.
constexpr std::uint64_t most_moved = 8;

// How often remove_if() follows an entry that a writer moves away under it.
constexpr unsigned removal_attempts = 4;

// How often a writer looks again whether another one is done: some 10 us in all.
constexpr unsigned lock_attempts = 200;

std::uint64_t tag_of(std::uint64_t hash) noexcept {
    // The bits below choose the shard, those above the bucket.
    return hash << 35U & tag_mask & ~moving_bit;
}

std::uint64_t load(std::uint64_t& word) noexcept {
    return std::atomic_ref{word}.load(std::memory_order_acquire);
}

void store(std::uint64_t& word, std::uint64_t value) noexcept {
    std::atomic_ref{word}.store(value, std::memory_order_release);
}

void bump(std::atomic<std::uint64_t>& counter) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

} // namespace

/// Holds the mutex if it could be had.
class Shard::Lock {
  public:
    explicit Lock(pthread_mutex_t& mutex) noexcept : mutex_{mutex} {
        int error = ::pthread_mutex_trylock(&mutex_);
        for (unsigned i = 0; error == EBUSY && i < lock_attempts; ++i) {
            relax();
            error = ::pthread_mutex_trylock(&mutex_);
        }
        if (error == EOWNERDEAD) {
            error = ::pthread_mutex_consistent(&mutex_); // nothing is ever half done
        }
        held_ = error == 0;
    }

    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

    ~Lock() {
        if (held_) {
            ::pthread_mutex_unlock(&mutex_);
        }
    }

    explicit operator bool() const noexcept { return held_; }

  private:
    pthread_mutex_t& mutex_;
    bool held_{false};
};

Shard::Shard(std::byte* memory, const Layout& layout, const SipHash& hash,
             EntryBuffer& buffer) noexcept
    : head_{static_cast<ShardHead*>(static_cast<void*>(memory))},
      buckets_{reinterpret_cast<Bucket*>(head_ + 1)}, ring_{reinterpret_cast<std::uint64_t*>(
                                                          buckets_ + layout.buckets)},
      layout_{layout}, hash_{&hash}, buffer_{&buffer} {}

int Shard::prepare() noexcept {
    pthread_mutexattr_t attributes;
    int error = ::pthread_mutexattr_init(&attributes);
    if (error != 0) {
        return error;
    }
    error = ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (error == 0) {
        error = ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    if (error == 0) {
        head_->mutex = {};
        error = ::pthread_mutex_init(&head_->mutex, &attributes);
    }
    ::pthread_mutexattr_destroy(&attributes);
    repair();
    return error;
}

std::optional<Entry> Shard::find(std::uint64_t hash, std::span<const std::uint8_t> key) noexcept {
    for (Slot& slot : bucket(hash).slots) {
        std::uint64_t word = slot.load(std::memory_order_acquire);
        if ((word & tag_mask) != tag_of(hash) || !alive(word)) {
            continue;
        }
        std::optional<Entry> entry = read(word & position_mask);
        if (!entry || !std::ranges::equal(entry->key, key)) {
            continue;
        }
        if ((word & used_bit) == 0) {
            // Fails when the slot is another entry's by now, which was not used.
            slot.compare_exchange_strong(word, word | used_bit, std::memory_order_relaxed);
        }
        return entry;
    }
    return std::nullopt;
}

Stored Shard::insert(std::uint64_t hash, const Entry& entry, std::uint64_t now,
                     std::uint64_t max_stale) noexcept {
    const std::uint64_t words = entry_words::words_for(entry);
    if (entry.key.size() > max_key ||
        words > std::min<std::uint64_t>(buffer_->size(), layout_.ring_words / 4)) {
        return Stored::too_big;
    }
    const Lock lock{head_->mutex};
    if (!lock) {
        return Stored::busy;
    }
    repair();
    make_room(words, now, max_stale);
    Slot& slot = slot_for(hash, entry.key);
    entry_words::encode(entry, std::span{*buffer_}.first(words));
    const std::uint64_t number = number_of(hash) << number_shift & ~tag_mask;
    slot.store(tag_of(hash) | number | append(words), std::memory_order_release);
    bump(head_->insertions);
    return Stored::yes;
}

std::size_t Shard::remove_if(const std::function<bool(const Entry&)>& unwanted) noexcept {
    std::size_t removed = 0;
    // As far as the index has grown meanwhile: what grow() moves, it moves upwards.
    for (std::uint64_t i = 0; i < buckets(); ++i) {
        for (Slot& slot : buckets_[i].slots) {
            removed += remove_if(slot, unwanted) ? 1U : 0U;
        }
    }
    return removed;
}

bool Shard::remove_if(Slot& slot, const std::function<bool(const Entry&)>& unwanted) noexcept {
    // Each time the slot changed meanwhile: a reader marked the entry used, or a writer moved it.
    for (unsigned i = 0; i < removal_attempts; ++i) {
        std::uint64_t word = slot.load(std::memory_order_acquire);
        if (!alive(word)) {
            // A writer that has moved the tail past an entry may be about to move it to the head,
            // which it does where the slot is as it was.
            if (word == 0 || slot.compare_exchange_strong(word, 0, std::memory_order_relaxed)) {
                return false;
            }
            continue;
        }
        const std::optional<Entry> entry = read(word & position_mask);
        if (entry && !unwanted(*entry)) {
            return false;
        }
        if (entry && slot.compare_exchange_strong(word, 0, std::memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

// Pages that are given back read as zeros, which to whoever is in the middle of something are what
// a scribbler might have left: an empty slot, or an entry that is not the one looked for.
bool Shard::give_back() noexcept {
    const Lock lock{head_->mutex};
    if (lock) {
        // Zeros at the tail would cost what is stored from now on, when the ring has turned.
        repair();
        head_->tail.store(head_->head.load(std::memory_order_relaxed), std::memory_order_release);
        head_->halvings.store(most_halvings, std::memory_order_release);
    }
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto first = (reinterpret_cast<std::uintptr_t>(buckets_) + page - 1) / page * page;
    const auto end = reinterpret_cast<std::uintptr_t>(ring_ + layout_.ring_words) / page * page;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): of a place in the mapping
    return first >= end || ::madvise(reinterpret_cast<void*>(first), end - first, MADV_REMOVE) == 0;
}

std::uint64_t Shard::insertions() const noexcept {
    return head_->insertions.load(std::memory_order_relaxed);
}

std::uint64_t Shard::evictions() const noexcept {
    return head_->evictions.load(std::memory_order_relaxed);
}

std::size_t Shard::entries() const noexcept {
    std::size_t count = 0;
    for (std::uint64_t i = 0; i < buckets(); ++i) {
        for (const Slot& slot : buckets_[i].slots) {
            count += alive(slot.load(std::memory_order_relaxed)) ? 1U : 0U;
        }
    }
    return count;
}

std::size_t Shard::octets() const noexcept {
    const std::uint64_t tail = head_->tail.load(std::memory_order_relaxed);
    const std::uint64_t head = head_->head.load(std::memory_order_relaxed);
    return std::min(head - tail, layout_.ring_words) * 8;
}

// Whatever the memory says, no more than there are bits for in a slot.
std::uint64_t Shard::halvings() const noexcept {
    return head_->halvings.load(std::memory_order_acquire) & most_halvings;
}

std::uint64_t Shard::buckets() const noexcept {
    return ((layout_.buckets - 1) >> halvings()) + 1;
}

// Of the bucket for a hash, when the index has its full size.
std::uint64_t Shard::number_of(std::uint64_t hash) const noexcept {
    return (hash >> 32U) * layout_.buckets >> 32U;
}

Bucket& Shard::bucket(std::uint64_t hash) const noexcept {
    return buckets_[number_of(hash) >> halvings()];
}

bool Shard::alive(std::uint64_t slot) const noexcept {
    const std::uint64_t position = slot & position_mask;
    return position >= head_->tail.load(std::memory_order_acquire) &&
           position < head_->head.load(std::memory_order_acquire);
}

std::optional<Entry> Shard::read(std::uint64_t position) const noexcept {
    const std::uint64_t at = position % layout_.ring_words;
    const std::uint64_t first = load(ring_[at]);
    const std::uint64_t size = first & entry_words::size_mask;
    const auto limit = std::min<std::uint64_t>(buffer_->size(), layout_.ring_words - at);
    if (first >> entry_words::position_shift !=
            (position << entry_words::position_shift) >> entry_words::position_shift ||
        size < entry_words::header_words || size > limit) {
        return std::nullopt;
    }
    const std::span words = std::span{*buffer_}.first(size);
    words[0] = first;
    for (std::size_t i = 1; i < size; ++i) {
        words[i] = load(ring_[at + i]);
    }
    if (position < head_->tail.load(std::memory_order_relaxed)) {
        return std::nullopt; // overtaken: the copy may be half of one entry and half of another
    }
    return entry_words::decode(words);
}

// Starts afresh when the positions make no sense, or come near their end after 2^47 octets. Whoever
// reads an old entry meanwhile has the check left.
void Shard::repair() noexcept {
    const std::uint64_t head = head_->head.load(std::memory_order_relaxed);
    const std::uint64_t tail = head_->tail.load(std::memory_order_relaxed);
    if (tail >= layout_.ring_words && tail <= head && head - tail <= layout_.ring_words &&
        head < position_mask - 2 * layout_.ring_words) {
        return;
    }
    // New memory is not touched: it takes none until it is used.
    const bool is_new = head == 0 && tail == 0 && insertions() == 0;
    for (std::uint32_t i = 0; !is_new && i < layout_.buckets; ++i) {
        for (Slot& slot : buckets_[i].slots) {
            slot.store(0, std::memory_order_relaxed);
        }
    }
    head_->halvings.store(most_halvings, std::memory_order_release);
    // Above 0, so that an empty slot names a position before the tail.
    head_->tail.store(layout_.ring_words, std::memory_order_release);
    head_->head.store(layout_.ring_words, std::memory_order_release);
}

// Doubles the index. false: it has its full size. Begins at its end, so that both places of what
// stood in a bucket are empty. What a writer that dies here has not come to is not found any more,
// and neither by who doubles the index again: no two buckets are ever divided into the same one.
bool Shard::grow() noexcept {
    const std::uint64_t left = halvings();
    if (left == 0) {
        return false;
    }
    const std::uint64_t before = buckets();
    const std::uint64_t odd = std::uint64_t{1} << (number_shift + left - 1);
    head_->halvings.store(left - 1, std::memory_order_release);
    for (std::uint64_t i = before; i-- > 0;) {
        for (std::size_t place = 0; place < buckets_->slots.size(); ++place) {
            Slot& from = buckets_[i].slots[place];
            const std::uint64_t word = from.load(std::memory_order_relaxed);
            const std::uint64_t to = 2 * i + ((word & odd) != 0 ? 1 : 0);
            if (alive(word) && to != i && to < layout_.buckets) {
                move(from, word, buckets_[to].slots[place]);
            }
        }
    }
    return true;
}

// It stands in both places for a moment, so that remove_if() meets it. Nobody else finds it in the
// new one before it has left the old one: it may have been removed just now, and this writer die.
// When it was, or a reader marked it used, it is forgotten.
void Shard::move(Slot& from, std::uint64_t word, Slot& to) noexcept {
    std::uint64_t moving = word | moving_bit;
    to.store(moving, std::memory_order_release);
    if (from.compare_exchange_strong(word, 0)) {
        to.compare_exchange_strong(moving, word, std::memory_order_release,
                                   std::memory_order_relaxed);
    } else {
        from.store(0, std::memory_order_relaxed);
        to.store(0, std::memory_order_relaxed);
    }
}

// What an entry of this size takes at the head: no entry goes over the end of the ring.
std::uint64_t Shard::room_for(std::uint64_t words) const noexcept {
    const std::uint64_t left =
        layout_.ring_words - head_->head.load(std::memory_order_relaxed) % layout_.ring_words;
    return left >= words ? words : left + words;
}

void Shard::make_room(std::uint64_t words, std::uint64_t now, std::uint64_t max_stale) noexcept {
    std::uint64_t may_move = words * most_moved;
    for (;;) {
        const std::uint64_t tail = head_->tail.load(std::memory_order_relaxed);
        const std::uint64_t head = head_->head.load(std::memory_order_relaxed);
        if (layout_.ring_words - (head - tail) >= room_for(words)) {
            return;
        }
        const std::uint64_t size = load(ring_[tail % layout_.ring_words]) & entry_words::size_mask;
        if (size == 0 || size > head - tail) {
            head_->tail.store(head, std::memory_order_release); // scribbled over: nothing is sure
            return;
        }
        const std::optional<Entry> entry = read(tail);
        Slot* slot = entry ? slot_of((*hash_)(entry->key), tail) : nullptr;
        const std::uint64_t word = slot != nullptr ? slot->load(std::memory_order_relaxed) : 0;
        head_->tail.store(tail + size, std::memory_order_release);
        if ((word & position_mask) != tail || entry->expires_at() + max_stale <= now) {
            continue;
        }
        if ((word & used_bit) == 0 || may_move == 0 || !move_to_head(*slot, word)) {
            bump(head_->evictions);
            continue;
        }
        // The last one may be larger than what is left: a large entry is moved on like any other.
        may_move -= std::min(may_move, size);
    }
}

// Appends what read() left in the buffer. false: there is no room without dropping another one.
bool Shard::move_to_head(Slot& slot, std::uint64_t was) noexcept {
    const std::uint64_t size = (*buffer_)[0] & entry_words::size_mask;
    const std::uint64_t used =
        head_->head.load(std::memory_order_relaxed) - head_->tail.load(std::memory_order_relaxed);
    if (layout_.ring_words - used < room_for(size)) {
        return false;
    }
    const std::uint64_t word = (was & ~(used_bit | position_mask)) | append(size);
    // Fails when somebody removed it meanwhile.
    slot.compare_exchange_strong(was, word, std::memory_order_release, std::memory_order_relaxed);
    return true;
}

Shard::Slot* Shard::slot_of(std::uint64_t hash, std::uint64_t position) const noexcept {
    for (Slot& slot : bucket(hash).slots) {
        if ((slot.load(std::memory_order_relaxed) & position_mask) == position) {
            return &slot;
        }
    }
    return nullptr;
}

// That of the same key, else a free one, for which the index may grow, else the one that will be
// missed least.
Shard::Slot& Shard::slot_for(std::uint64_t hash, std::span<const std::uint8_t> key) noexcept {
    Bucket& candidates = bucket(hash);
    Slot* best = nullptr;
    std::uint64_t best_rank = ~std::uint64_t{0};
    for (Slot& slot : candidates.slots) {
        const std::uint64_t word = slot.load(std::memory_order_relaxed);
        const bool taken = alive(word);
        if (taken && (word & tag_mask) == tag_of(hash)) {
            const std::optional<Entry> entry = read(word & position_mask);
            if (entry && std::ranges::equal(entry->key, key)) {
                return slot;
            }
        }
        const std::uint64_t rank = taken ? word & (position_mask | used_bit) : 0;
        if (best == nullptr || rank < best_rank) {
            best = &slot;
            best_rank = rank;
        }
    }
    if (best_rank != 0 && grow()) {
        return slot_for(hash, key);
    }
    if (best_rank != 0) {
        bump(head_->evictions);
    }
    return *best;
}

// Writes the first `words` of the buffer at the head, where there is room. Returns the position.
std::uint64_t Shard::append(std::uint64_t words) noexcept {
    std::uint64_t head = head_->head.load(std::memory_order_relaxed);
    const std::uint64_t left = layout_.ring_words - head % layout_.ring_words;
    if (left < words) {
        store(ring_[head % layout_.ring_words], head << entry_words::position_shift | left);
        head += left;
        head_->head.store(head, std::memory_order_release);
    }
    const std::span entry = std::span{*buffer_}.first(words);
    entry_words::seal(entry, head);
    for (std::size_t i = 0; i < entry.size(); ++i) {
        store(ring_[head % layout_.ring_words + i], entry[i]);
    }
    head_->head.store(head + words, std::memory_order_release);
    return head;
}

} // namespace dotproxy
