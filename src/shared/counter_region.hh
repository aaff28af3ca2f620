// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// CounterRegion: all counters of the service, for as long as the master lives: the slots of all
// workers there ever were, and one that is the master's own. CounterLease: what one generation has
// of them. A slot that was given back keeps its numbers, and who gets it next adds to them, so the
// sum over all slots is what the service has counted, and never falls, whatever workers die.

#pragma once

#include "shared/counters.hh"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dotproxy {

class CounterRegion;

/// A slot for each worker of a generation, and a row for each address of its upstreams. Given back
/// when it goes, which is when no worker of the generation is alive.
class CounterLease {
  public:
    CounterLease() = default;

    CounterLease(CounterLease&& other) noexcept { swap(other); }

    CounterLease& operator=(CounterLease other) noexcept;
    ~CounterLease();

    /// How many workers it is for.
    [[nodiscard]] unsigned size() const noexcept { return static_cast<unsigned>(slots_.size()); }

    [[nodiscard]] Counters& slot(unsigned worker) const noexcept { return *slots_[worker]; }

    /// A number over the workers of this generation: gauges that they share a limit for.
    [[nodiscard]] std::uint64_t sum(Counter counter) const noexcept;

    /// A number of one row over the workers of this generation, and over those who had their slots
    /// before.
    template <class Key>
    [[nodiscard]] std::uint64_t sum(unsigned row, Key key) const noexcept {
        std::uint64_t total = 0;
        for (const Counters* slot : slots_) {
            total += slot->upstream(row).get(key);
        }
        return total;
    }

    /// The row of an upstream's address, by the text it was asked for with.
    [[nodiscard]] unsigned row_of(std::string_view address) const noexcept;

  private:
    friend CounterRegion;

    void swap(CounterLease& other) noexcept;

    CounterRegion* region_{nullptr};
    std::vector<Counters*> slots_;
    std::vector<std::pair<std::string, unsigned>> rows_;
};

class CounterRegion {
  public:
    /// With room for `workers` of one generation and of three that drain; more is made when it is
    /// needed. Throws std::system_error when there is no memory.
    explicit CounterRegion(unsigned workers);
    CounterRegion(const CounterRegion&) = delete;
    CounterRegion& operator=(const CounterRegion&) = delete;
    /// All leases must have gone.
    ~CounterRegion();

    /// Slots that nobody alive writes, and rows: an address that had one before gets the same. For
    /// a new one that of an address which no generation has any more is cleared, if none is free
    /// (its numbers move to `other_upstreams`). Throws std::system_error or std::bad_alloc.
    [[nodiscard]] CounterLease lease(unsigned workers, std::span<const std::string> addresses);

    /// The master's own slot.
    [[nodiscard]] Counters& master() noexcept { return chunks_.front().slots[0]; }

    /// A number over all slots.
    template <class Key>
    [[nodiscard]] std::uint64_t sum(Key key) const noexcept {
        std::uint64_t total = 0;
        for_each_slot([&](const Counters& slot) { total += slot.get(key); });
        return total;
    }

    /// A number of one row over all slots.
    template <class Key>
    [[nodiscard]] std::uint64_t sum(unsigned row, Key key) const noexcept {
        std::uint64_t total = 0;
        for_each_slot([&](const Counters& slot) { total += slot.upstream(row).get(key); });
        return total;
    }

    /// Visits every slot that has ever been used; what was not is all zero, and takes no memory as
    /// long as nobody looks.
    template <class Visit>
    void for_each_slot(Visit visit) const {
        for (const Chunk& chunk : chunks_) {
            for (unsigned i = 0; i < chunk.used; ++i) {
                visit(std::as_const(chunk.slots[i]));
            }
        }
    }

    /// Visits every row that has ever been used, by its number.
    template <class Visit>
    void for_each_row(Visit visit) const {
        for (unsigned row = 0; row < rows_used_; ++row) {
            visit(row);
        }
        visit(other_upstreams);
    }

  private:
    friend CounterLease;

    /// Slots in one piece of shared anonymous memory.
    struct Chunk {
        explicit Chunk(unsigned size);
        Chunk(Chunk&& other) noexcept;
        Chunk& operator=(Chunk&&) = delete;
        ~Chunk();

        Counters* slots{nullptr};
        std::vector<bool> taken;
        unsigned used{0}; // those from here on nobody has ever had
    };

    struct Row {
        std::string address;
        unsigned holders{0};   // leases
        std::uint64_t left{0}; // which lease that went was the last to have it
    };

    void take_slot(CounterLease& lease);
    [[nodiscard]] unsigned take_row(const std::string& address);
    [[nodiscard]] unsigned row_for_new() noexcept;
    void give_back(const CounterLease& lease) noexcept;

    std::vector<Chunk> chunks_; // the first slot of the first is the master's
    std::array<Row, upstream_rows> rows_;
    unsigned rows_used_{0};
    std::uint64_t given_back_{0}; // leases
};

} // namespace dotproxy
