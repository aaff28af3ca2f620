// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Undumped: memory for what people ask and are answered. It is made of whole pages that no core
// file gets a copy of. They are the kernel's until they are touched.

#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace dotproxy {

/// `size` octets at the beginning of a page, none of them touched. Throws std::bad_alloc.
[[nodiscard]] void* map_undumped(std::size_t size);

/// What map_undumped() gave, and the size it was asked for.
void unmap_undumped(void* memory, std::size_t size) noexcept;

/// For memory that was mapped elsewhere, at whole pages: keeps it out of core files.
void keep_undumped(void* memory, std::size_t size) noexcept;

/// One object of type T in such memory, not initialised: T is a heap of octets.
template <class T>
class Undumped {
  public:
    static_assert(std::is_trivially_destructible_v<T>);

    /// Throws std::bad_alloc.
    Undumped() : object_{new (map_undumped(sizeof(T))) T} {}

    Undumped(const Undumped&) = delete;
    Undumped& operator=(const Undumped&) = delete;

    ~Undumped() { unmap_undumped(object_, sizeof(T)); }

    [[nodiscard]] T& operator*() const noexcept { return *object_; }

    [[nodiscard]] T* operator->() const noexcept { return object_; }

  private:
    T* object_;
};

} // namespace dotproxy
