// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/receive_drops.hh"

#include <algorithm>
#include <array>
#include <linux/sock_diag.h>
#include <optional>
#include <sys/socket.h>

namespace dotproxy {

namespace {

/// What the kernel has dropped at this socket; none where it does not tell.
std::optional<std::uint32_t> drops_at(int socket) noexcept {
    std::array<std::uint32_t, SK_MEMINFO_VARS> words{};
    socklen_t size = sizeof words;
    if (::getsockopt(socket, SOL_SOCKET, SO_MEMINFO, words.data(), &size) != 0 ||
        size <= SK_MEMINFO_DROPS * sizeof words[0]) {
        return std::nullopt;
    }
    return words[SK_MEMINFO_DROPS];
}

} // namespace

std::uint64_t ReceiveDrops::since_last(std::span<const std::shared_ptr<const Listener>> listeners) {
    std::erase_if(known_, [](const Known& known) { return known.listener.expired(); });
    std::uint64_t more = 0;
    for (const auto& listener : listeners) {
        const auto drops =
            listener->protocol == Protocol::udp ? drops_at(listener->socket.get()) : std::nullopt;
        if (!drops) {
            continue;
        }
        const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& known) {
            return known.listener.lock() == listener;
        });
        if (found == known_.end()) {
            known_.push_back({.listener = listener, .drops = *drops});
        } else {
            more += *drops - found->drops; // as 32 bits
            found->drops = *drops;
        }
    }
    return more;
}

} // namespace dotproxy
