// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/offenders.hh"

#include "base/undumped.hh"
#include "shared/anonymous.hh"

#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <span>
#include <sys/mman.h>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// So many places are looked at for one that is its own, or free.
constexpr std::size_t probes = 16;
// Who was within all limits for so long gives its place to others.
constexpr Clock::duration quiet_after = 3s;

constexpr unsigned offence_shift = 8;
constexpr unsigned verified_shift = 16;

constexpr auto relaxed = std::memory_order_relaxed;

std::uint64_t ticks(TimePoint time) noexcept {
    return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

TimePoint time_of(std::uint64_t ticks) noexcept {
    return TimePoint{Clock::duration{static_cast<Clock::rep>(ticks)}};
}

} // namespace

/// All but the last three are what it is of, and `check` says that they belong together.
struct alignas(64) Offenders::Entry {
    std::atomic<std::uint64_t> check; // 0: nobody was ever here
    std::atomic<std::uint64_t> high;
    std::atomic<std::uint64_t> low;
    std::atomic<std::uint64_t> what; // length, offence, whether it is verified
    std::atomic<std::uint64_t> limit;
    std::atomic<std::uint64_t> over;
    std::atomic<std::uint64_t> since;
    std::atomic<std::uint64_t> last;
};

struct Offenders::Memory {
    std::array<Entry, capacity> entries;
    std::atomic<std::uint32_t> told;
};

Offenders::Offenders(const SipHash& hash) : hash_{hash} {
    static_assert(sizeof(Entry) == 64);
    void* memory = map_shared(sizeof(Memory), "memory for offenders");
    keep_undumped(memory, sizeof(Memory));
    memory_ = static_cast<Memory*>(memory); // all zero is what an empty one is
}

Offenders::~Offenders() {
    ::munmap(memory_, sizeof(Memory));
}

std::uint64_t Offenders::check(std::uint64_t high, std::uint64_t low, std::uint64_t what,
                               std::uint64_t limit) const noexcept {
    const std::array<std::uint64_t, 4> words{high, low, what, limit};
    std::array<std::uint8_t, sizeof words> octets{};
    std::memcpy(octets.data(), words.data(), sizeof words);
    return hash_(octets) | 1U;
}

/// The entry with this check, or one that it has been given just now; nullptr: there is no room.
Offenders::Entry* Offenders::find(std::uint64_t check, TimePoint now) const noexcept {
    Entry* free = nullptr;
    std::uint64_t there = 0;
    for (std::size_t i = 0; i < probes; ++i) {
        Entry& entry = memory_->entries[(check / 2 + i) % capacity];
        const std::uint64_t other = entry.check.load(relaxed);
        if (other == check) {
            return &entry;
        }
        if (free == nullptr &&
            (other == 0 || time_of(entry.last.load(relaxed)) + quiet_after < now)) {
            free = &entry;
            there = other;
        }
    }
    // Where another worker was quicker the next question is noted.
    if (free == nullptr || !free->check.compare_exchange_strong(there, check, relaxed)) {
        return nullptr;
    }
    free->over.store(0, relaxed);
    free->since.store(ticks(now), relaxed);
    return free;
}

bool Offenders::note(const Culprit& culprit, TimePoint now) const noexcept {
    const AddressBits& bits = culprit.prefix.bits();
    const std::uint64_t what = culprit.prefix.length() |
                               static_cast<std::uint64_t>(culprit.offence) << offence_shift |
                               std::uint64_t{culprit.verified} << verified_shift;
    const auto limit = std::bit_cast<std::uint64_t>(culprit.limit);
    Entry* const entry = find(check(bits.high, bits.low, what, limit), now);
    if (entry == nullptr) {
        return false;
    }
    // Also where they should be there: who wrote them may have been killed in the middle.
    entry->high.store(bits.high, relaxed);
    entry->low.store(bits.low, relaxed);
    entry->what.store(what, relaxed);
    entry->limit.store(limit, relaxed);
    entry->last.store(ticks(now), relaxed);
    entry->over.fetch_add(1, relaxed);
    return memory_->told.load(relaxed) == 0 && memory_->told.exchange(1, relaxed) == 0;
}

std::vector<Offender> Offenders::all() const {
    std::vector<Offender> found;
    for (const Entry& entry : memory_->entries) {
        const std::uint64_t high = entry.high.load(relaxed);
        const std::uint64_t low = entry.low.load(relaxed);
        const std::uint64_t what = entry.what.load(relaxed);
        const std::uint64_t limit = entry.limit.load(relaxed);
        const std::uint64_t length = what & 0xffU;
        const std::uint64_t offence = what >> offence_shift & 0xffU;
        if (entry.check.load(relaxed) != check(high, low, what, limit) ||
            length > Prefix::host_length ||
            offence >= static_cast<std::uint64_t>(Offence::count_)) {
            continue;
        }
        found.push_back({.culprit = {.prefix = Prefix{{.high = high, .low = low},
                                                      static_cast<unsigned>(length)},
                                     .offence = static_cast<Offence>(offence),
                                     .verified = what >> verified_shift != 0,
                                     .limit = std::bit_cast<double>(limit)},
                         .over = entry.over.load(relaxed),
                         .since = time_of(entry.since.load(relaxed)),
                         .last = time_of(entry.last.load(relaxed))});
    }
    return found;
}

bool Offenders::told() const noexcept {
    return memory_->told.load(relaxed) != 0;
}

void Offenders::be_told() const noexcept {
    memory_->told.store(0, relaxed);
}

} // namespace dotproxy
