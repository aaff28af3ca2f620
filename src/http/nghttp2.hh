// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What it takes to speak with nghttp2, whichever end of a connection this is; for this room alone.

#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <nghttp2/nghttp2.h>
#include <string_view>

namespace dotproxy::http {

/// Does what nghttp2 called for. Nothing may be thrown through it: without memory the session ends.
template <class Action>
[[nodiscard]] int guarded(Action action) noexcept {
    try {
        return action();
    } catch (const std::bad_alloc&) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
}

[[nodiscard]] inline std::string_view text_of(const std::uint8_t* octets,
                                              std::size_t size) noexcept {
    return {reinterpret_cast<const char*>(octets), size};
}

/// A field of a head, which refers to both texts; `flags`: NGHTTP2_NV_FLAG_*.
[[nodiscard]] inline nghttp2_nv field(std::string_view name, std::string_view value,
                                      unsigned flags) noexcept {
    // nghttp2 does not write there.
    const auto* name_octets = reinterpret_cast<const std::uint8_t*>(name.data());
    const auto* value_octets = reinterpret_cast<const std::uint8_t*>(value.data());
    return {
        const_cast<std::uint8_t*>(name_octets),  // NOLINT(cppcoreguidelines-pro-type-const-cast)
        const_cast<std::uint8_t*>(value_octets), // NOLINT(cppcoreguidelines-pro-type-const-cast)
        name.size(), value.size(), static_cast<std::uint8_t>(flags)};
}

} // namespace dotproxy::http
