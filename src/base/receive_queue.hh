// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ReceiveQueue: what waits in a socket until somebody reads it.

#pragma once

#include <cstdint>
#include <optional>

namespace dotproxy {

/// As the kernel counts (socket(7), SO_MEMINFO): a short datagram takes about 800 octets.
struct ReceiveQueue {
    std::uint32_t held{0};    // octets
    std::uint32_t room{0};    // octets, those held among them
    std::uint32_t dropped{0}; // datagrams since there is the socket; it goes round

    /// That of `socket`; nullopt where the kernel does not tell (before Linux 4.12).
    [[nodiscard]] static std::optional<ReceiveQueue> of(int socket) noexcept;
};

} // namespace dotproxy
