// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Slab<T>: a fixed number of places for T, addressed by handles that outlive what they name.
// The memory is reserved at once and touched only as far as it was ever used: free places are
// handed out last in, first out. Objects never move. No core file gets a copy of them. In builds
// with AddressSanitizer a use of what was destroyed is reported.

#pragma once

#include "base/poison.hh"
#include "base/undumped.hh"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

namespace dotproxy {

/// Names one object of a slab. A handle whose object was freed matches nothing, even after the
/// place was used again (until 2^32 uses later).
struct Handle {
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    std::uint32_t index{none};
    std::uint32_t generation{0};
    friend bool operator==(const Handle&, const Handle&) = default;
};

/// Fixed-capacity storage for objects of type T.
template <class T>
class Slab {
  public:
    /// Reserves address space for `capacity` objects.
    explicit Slab(std::uint32_t capacity)
        : places_{static_cast<Place*>(map_undumped(size_of(capacity)))}, capacity_{capacity} {}

    Slab(const Slab&) = delete;
    Slab& operator=(const Slab&) = delete;

    ~Slab() {
        for (std::uint32_t i = 0; i < touched_; ++i) {
            if (places_[i].used) {
                object(i)->~T();
            }
        }
        unpoison(places_, size_of(capacity_)); // the addresses may be used again
        unmap_undumped(places_, size_of(capacity_));
    }

    /// Makes an object; nullptr when every place is taken.
    template <class... Args>
    [[nodiscard]] T* create(Args&&... args) noexcept {
        std::uint32_t index = free_head_;
        if (index != Handle::none) {
            free_head_ = places_[index].next_free;
        } else if (touched_ < capacity_) {
            index = touched_++;
            new (&places_[index]) Place{};
        } else {
            return nullptr;
        }
        Place& place = places_[index];
        place.used = true;
        ++size_;
        unpoison(place.storage, sizeof place.storage);
        return new (place.storage) T(std::forward<Args>(args)...);
    }

    /// Destroys an object that create() made.
    void destroy(T* item) noexcept {
        const std::uint32_t index = index_of(item);
        Place& place = places_[index];
        item->~T();
        poison(place.storage, sizeof place.storage);
        place.used = false;
        ++place.generation;
        place.next_free = free_head_;
        free_head_ = index;
        --size_;
    }

    /// The object a handle names; nullptr when it is gone.
    [[nodiscard]] T* find(Handle handle) noexcept {
        if (handle.index >= touched_) {
            return nullptr;
        }
        const Place& place = places_[handle.index];
        return place.used && place.generation == handle.generation ? object(handle.index) : nullptr;
    }

    [[nodiscard]] Handle handle_of(const T* item) const noexcept {
        const std::uint32_t index = index_of(item);
        return {index, places_[index].generation};
    }

    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

    [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }

    /// Calls `visit(T&)` for every object; `visit` may destroy the object it is given.
    template <class Visit>
    void for_each(Visit visit) noexcept {
        for (std::uint32_t i = 0; i < touched_; ++i) {
            if (places_[i].used) {
                visit(*object(i));
            }
        }
    }

  private:
    struct Place {
        alignas(T) unsigned char storage[sizeof(T)]; // first: object and place share an address
        std::uint32_t generation{0};
        std::uint32_t next_free{Handle::none};
        bool used{false};
    };

    static_assert(alignof(T) <= 4096, "no page is smaller, and places begin with one");

    static std::size_t size_of(std::uint32_t capacity) noexcept {
        return sizeof(Place) * std::max(capacity, 1U);
    }

    [[nodiscard]] T* object(std::uint32_t index) noexcept {
        return std::launder(reinterpret_cast<T*>(places_[index].storage));
    }

    [[nodiscard]] std::uint32_t index_of(const T* item) const noexcept {
        return static_cast<std::uint32_t>(reinterpret_cast<const Place*>(item) - places_);
    }

    Place* places_;
    std::uint32_t capacity_;
    std::uint32_t touched_{0}; // places [0, touched_) have been used at least once
    std::uint32_t free_head_{Handle::none};
    std::uint32_t size_{0};
};

} // namespace dotproxy
