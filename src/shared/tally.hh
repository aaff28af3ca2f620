// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Tally: a number for each value of an enumeration of shared/counted.hh, in memory that several
// processes see and one writes. Tallies: several of those, told apart by the type of the key.

#pragma once

#include "shared/counted.hh"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <tuple>

namespace dotproxy {

/// A number that one process writes and others read: nothing is locked, and no read-modify-write
/// cycle on the bus is needed.
class Number {
  public:
    void add(std::uint64_t n) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }

    void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }

    [[nodiscard]] std::uint64_t get() const noexcept {
        return value_.load(std::memory_order_relaxed);
    }

    /// Adds it to `other` and begins anew, for who writes both.
    void move_to(Number& other) noexcept {
        other.add(get());
        set(0);
    }

  private:
    std::atomic<std::uint64_t> value_{0};
};

template <class Key>
class Tally {
  public:
    [[nodiscard]] Number& operator[](Key key) noexcept {
        return numbers_[static_cast<std::size_t>(key)];
    }

    [[nodiscard]] const Number& operator[](Key key) const noexcept {
        return numbers_[static_cast<std::size_t>(key)];
    }

    void move_to(Tally& other) noexcept {
        for_each_of<Key>([&](Key key) { (*this)[key].move_to(other[key]); });
    }

  private:
    std::array<Number, count_of<Key>> numbers_;
};

template <class... Keys>
class Tallies {
  public:
    template <class Key>
    void add(Key key, std::uint64_t n = 1) noexcept {
        std::get<Tally<Key>>(tallies_)[key].add(n);
    }

    template <class Key>
    [[nodiscard]] std::uint64_t get(Key key) const noexcept {
        return std::get<Tally<Key>>(tallies_)[key].get();
    }

    /// For what goes up and down.
    template <class Key>
    void set(Key key, std::uint64_t n) noexcept {
        std::get<Tally<Key>>(tallies_)[key].set(n);
    }

    /// Adds all of them to `other` and begins anew, for who writes both.
    void move_to(Tallies& other) noexcept {
        (std::get<Tally<Keys>>(tallies_).move_to(std::get<Tally<Keys>>(other.tallies_)), ...);
    }

  private:
    std::tuple<Tally<Keys>...> tallies_;
};

} // namespace dotproxy
