// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The two ends of a connection, as the kernel knows them.

#pragma once

#include "base/address.hh"
#include "base/fd.hh"

#include <optional>
#include <sys/socket.h>

namespace dotproxy {

/// What getsockname(2) or getpeername(2) says; nullopt when it fails.
inline std::optional<Address> end_of(const Fd& socket, decltype(::getsockname)* call) noexcept {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    return call(socket.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0 ? Address::from(name)
                                                                              : std::nullopt;
}

/// This host's; nullopt of one that was reset.
[[nodiscard]] inline std::optional<Address> near_end(const Fd& socket) noexcept {
    return end_of(socket, &::getsockname);
}

/// Who has made it; nullopt as well.
[[nodiscard]] inline std::optional<Address> far_end(const Fd& socket) noexcept {
    return end_of(socket, &::getpeername);
}

} // namespace dotproxy
