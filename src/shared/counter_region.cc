// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/counter_region.hh"

#include "shared/anonymous.hh"

#include <algorithm>
#include <sys/mman.h>

namespace dotproxy {

namespace {

// The one that serves, the one that is being started, and two that drain.
constexpr unsigned generations_at_a_time = 4;

} // namespace

CounterLease& CounterLease::operator=(CounterLease other) noexcept {
    swap(other);
    return *this;
}

CounterLease::~CounterLease() {
    if (region_ != nullptr) {
        region_->give_back(*this);
    }
}

void CounterLease::swap(CounterLease& other) noexcept {
    std::swap(region_, other.region_);
    slots_.swap(other.slots_);
    rows_.swap(other.rows_);
}

std::uint64_t CounterLease::sum(Counter counter) const noexcept {
    std::uint64_t total = 0;
    for (const Counters* slot : slots_) {
        total += slot->get(counter);
    }
    return total;
}

unsigned CounterLease::row_of(std::string_view address) const noexcept {
    const auto found = std::find_if(rows_.begin(), rows_.end(),
                                    [address](const auto& row) { return row.first == address; });
    return found == rows_.end() ? other_upstreams : found->second;
}

// All zero is what new counters are, and most of their rows are never touched: to construct them
// would have each page made.
CounterRegion::Chunk::Chunk(unsigned size)
    : slots{static_cast<Counters*>(map_shared(sizeof(Counters) * size, "memory for the counters"))},
      taken(size) {}

CounterRegion::Chunk::Chunk(Chunk&& other) noexcept
    : slots{std::exchange(other.slots, nullptr)}, taken{std::move(other.taken)}, used{other.used} {}

CounterRegion::Chunk::~Chunk() {
    if (slots != nullptr) {
        ::munmap(slots, sizeof(Counters) * taken.size());
    }
}

CounterRegion::CounterRegion(unsigned workers) {
    Chunk& first = chunks_.emplace_back(1 + workers * generations_at_a_time);
    first.taken[0] = true;
    first.used = 1;
}

CounterRegion::~CounterRegion() = default;

CounterLease CounterRegion::lease(unsigned workers, std::span<const std::string> addresses) {
    CounterLease lease;
    lease.region_ = this; // what it has by then is given back should the rest fail
    lease.slots_.reserve(workers);
    lease.rows_.reserve(addresses.size());
    for (unsigned i = 0; i < workers; ++i) {
        take_slot(lease);
    }
    for (const std::string& address : addresses) {
        if (lease.row_of(address) == other_upstreams) {
            lease.rows_.emplace_back(address, other_upstreams);
            lease.rows_.back().second = take_row(address);
        }
    }
    return lease;
}

void CounterRegion::take_slot(CounterLease& lease) {
    for (Chunk& chunk : chunks_) {
        const auto found = std::find(chunk.taken.begin(), chunk.taken.end(), false);
        if (found != chunk.taken.end()) {
            const auto index = static_cast<unsigned>(found - chunk.taken.begin());
            *found = true;
            chunk.used = std::max(chunk.used, index + 1);
            lease.slots_.push_back(&chunk.slots[index]);
            return;
        }
    }
    chunks_.emplace_back(static_cast<unsigned>(chunks_.front().taken.size()));
    take_slot(lease);
}

unsigned CounterRegion::take_row(const std::string& address) {
    const auto known = std::find_if(rows_.begin(), rows_.begin() + rows_used_,
                                    [&](const Row& row) { return row.address == address; });
    auto row = static_cast<unsigned>(known - rows_.begin());
    if (row == rows_used_) {
        std::string text = address;
        row = row_for_new();
        if (row == other_upstreams) {
            return row;
        }
        rows_[row].address = std::move(text);
    }
    ++rows_[row].holders;
    return row;
}

/// One that nobody has had, or, cleared, the one that nobody has had for longest.
unsigned CounterRegion::row_for_new() noexcept {
    if (rows_used_ < upstream_rows) {
        return rows_used_++;
    }
    unsigned oldest = other_upstreams;
    for (unsigned row = 0; row < upstream_rows; ++row) {
        if (rows_[row].holders == 0 &&
            (oldest == other_upstreams || rows_[row].left < rows_[oldest].left)) {
            oldest = row;
        }
    }
    if (oldest != other_upstreams) {
        for (Chunk& chunk : chunks_) {
            for (unsigned i = 0; i < chunk.used; ++i) {
                chunk.slots[i].upstream(oldest).move_to(master().upstream(other_upstreams));
            }
        }
    }
    return oldest;
}

void CounterRegion::give_back(const CounterLease& lease) noexcept {
    for (const Counters* slot : lease.slots_) {
        for (Chunk& chunk : chunks_) {
            const std::less<> before;
            if (!before(slot, chunk.slots) && before(slot, chunk.slots + chunk.taken.size())) {
                chunk.taken[static_cast<std::size_t>(slot - chunk.slots)] = false;
            }
        }
    }
    ++given_back_;
    for (const auto& [address, row] : lease.rows_) {
        if (row != other_upstreams) {
            --rows_[row].holders;
            rows_[row].left = given_back_;
        }
    }
}

} // namespace dotproxy
