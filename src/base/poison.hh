// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Poison: tells AddressSanitizer which parts of memory that we hand out ourselves are free, so that
// it reports who uses them. In other builds nothing is done.

#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define DOTPROXY_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DOTPROXY_POISONS 1
#endif
#endif

#ifdef DOTPROXY_POISONS
#include <sanitizer/asan_interface.h>
#endif

namespace dotproxy {

#ifdef DOTPROXY_POISONS

/// Whether free memory is watched.
constexpr bool poisons = true;

inline void poison(const void* memory, std::size_t size) noexcept {
    ASAN_POISON_MEMORY_REGION(memory, size);
}

inline void unpoison(const void* memory, std::size_t size) noexcept {
    ASAN_UNPOISON_MEMORY_REGION(memory, size);
}

/// Whether AddressSanitizer would report a use of this octet.
[[nodiscard]] inline bool is_poisoned(const void* memory) noexcept {
    return __asan_address_is_poisoned(memory) != 0;
}

#else

constexpr bool poisons = false;

inline void poison(const void* /*memory*/, std::size_t /*size*/) noexcept {}

inline void unpoison(const void* /*memory*/, std::size_t /*size*/) noexcept {}

[[nodiscard]] inline bool is_poisoned(const void* /*memory*/) noexcept {
    return false;
}

#endif

} // namespace dotproxy
