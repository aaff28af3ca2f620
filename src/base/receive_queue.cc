// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/receive_queue.hh"

#include <array>
#include <linux/sock_diag.h>
#include <sys/socket.h>

namespace dotproxy {

std::optional<ReceiveQueue> ReceiveQueue::of(int socket) noexcept {
    std::array<std::uint32_t, SK_MEMINFO_VARS> words{};
    socklen_t size = sizeof words;
    if (::getsockopt(socket, SOL_SOCKET, SO_MEMINFO, words.data(), &size) != 0 ||
        size <= SK_MEMINFO_DROPS * sizeof words[0]) {
        return std::nullopt;
    }
    return ReceiveQueue{.held = words[SK_MEMINFO_RMEM_ALLOC],
                        .room = words[SK_MEMINFO_RCVBUF],
                        .dropped = words[SK_MEMINFO_DROPS]};
}

} // namespace dotproxy
