// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Chains: a hash table that owns nothing but its buckets. The items in it come from a slab, carry
// their link themselves and are found by their hash; so nothing is allocated once it is made.

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace dotproxy {

/// `Item` has a member `Item* chain`, which is this table's while the item is in it.
template <class Item>
class Chains {
  public:
    /// Good for so many items. Throws std::bad_alloc.
    explicit Chains(std::uint32_t capacity)
        : mask_{std::bit_ceil(std::size_t{capacity}) - 1},
          // NOLINTBEGIN(cppcoreguidelines-no-malloc,bugprone-sizeof-expression): an array of
          // pointers from calloc, whose pages stay the kernel's until they are used.
          buckets_{static_cast<Item**>(std::calloc(mask_ + 1, sizeof(Item*)))} {
        // NOLINTEND(cppcoreguidelines-no-malloc,bugprone-sizeof-expression)
        if (!buckets_) {
            throw std::bad_alloc{};
        }
    }

    /// The first item with this hash, or another one that fell into the same bucket, for which
    /// `is_it(item)` holds; nullptr when there is none.
    template <class IsIt>
    [[nodiscard]] Item* find(std::uint64_t hash, IsIt is_it) const noexcept {
        Item* item = buckets_[hash & mask_];
        while (item != nullptr && !is_it(*item)) {
            item = item->chain;
        }
        return item;
    }

    void insert(Item& item, std::uint64_t hash) noexcept {
        Item*& first = buckets_[hash & mask_];
        item.chain = first;
        first = &item;
    }

    /// `item` was inserted with this hash.
    void remove(Item& item, std::uint64_t hash) noexcept {
        Item** link = &buckets_[hash & mask_];
        while (*link != &item) {
            link = &(*link)->chain;
        }
        *link = item.chain;
    }

  private:
    struct Free {
        void operator()(Item** buckets) const noexcept {
            std::free(buckets); // NOLINT(cppcoreguidelines-no-malloc): see the constructor
        }
    };

    std::size_t mask_;
    std::unique_ptr<Item*[], Free> buckets_;
};

} // namespace dotproxy
