// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ReceiveDrops: the datagrams that the kernel dropped since the queue of a socket of ours was full.
// The kernel counts them for each socket; this makes one number of those, which does not fall when
// a socket is closed. And what waits in those queues.

#pragma once

#include "base/listener.hh"
#include "base/receive_queue.hh"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace dotproxy {

class ReceiveDrops {
  public:
    /// How many more have been dropped since the last call, at the UDP sockets among these. Of a
    /// socket that is new here nothing counts yet: it may have served others before.
    [[nodiscard]] std::uint64_t
    since_last(std::span<const std::shared_ptr<const Listener>> listeners);

    /// How many octets waited to be read at all sockets that are known, when they were last looked
    /// at.
    [[nodiscard]] std::uint64_t waiting() const noexcept;

  private:
    struct Known {
        std::weak_ptr<const Listener> listener; // does not keep it open
        ReceiveQueue queue;
    };

    std::vector<Known> known_;
};

} // namespace dotproxy
