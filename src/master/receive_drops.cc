// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/receive_drops.hh"

#include <algorithm>
#include <numeric>
#include <optional>

namespace dotproxy {

std::uint64_t ReceiveDrops::since_last(std::span<const std::shared_ptr<const Listener>> listeners) {
    std::erase_if(known_, [](const Known& known) { return known.listener.expired(); });
    std::uint64_t more = 0;
    for (const auto& listener : listeners) {
        const auto queue = listener->protocol == Protocol::udp
                               ? ReceiveQueue::of(listener->socket.get())
                               : std::nullopt;
        if (!queue) {
            continue;
        }
        const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& known) {
            return known.listener.lock() == listener;
        });
        if (found == known_.end()) {
            known_.push_back({.listener = listener, .queue = *queue});
        } else {
            more += queue->dropped - found->queue.dropped; // as 32 bits
            found->queue = *queue;
        }
    }
    return more;
}

std::uint64_t ReceiveDrops::waiting() const noexcept {
    return std::accumulate(known_.begin(), known_.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const Known& known) {
                               return sum + (known.listener.expired() ? 0 : known.queue.held);
                           });
}

} // namespace dotproxy
