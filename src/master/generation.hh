// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Generation: one configuration and everything made from it: sockets, trust store, counters and the
// workers that serve it. Made whole beside the one that runs; one that cannot be made changes
// nothing.

#pragma once

#include "base/listener.hh"
#include "config/config.hh"
#include "master/worker_slot.hh"
#include "shared/counters.hh"
#include "tls/client_context.hh"

#include <memory>
#include <vector>

namespace dotproxy {

using Listeners = std::vector<std::shared_ptr<const Listener>>;

struct Generation {
    /// Makes everything but the workers' processes. Sockets that `existing` has are shared with it:
    /// two generations serve on the same socket during a reload, and its queue outlives both.
    /// `passed` are sockets that the service manager bound; they are always served. Throws
    /// ConfigError or std::exception with a text for the administrator.
    Generation(unsigned its_number, Config its_config, const Listeners& passed,
               const Listeners& existing);

    [[nodiscard]] bool all_ready() const noexcept;
    [[nodiscard]] bool any_alive() const noexcept;
    [[nodiscard]] bool all_hopeless() const noexcept;
    void tell_all(Order order) const noexcept;
    void kill_all(int signal) const noexcept;
    [[nodiscard]] WorkerSlot* find(pid_t pid) noexcept;

    unsigned number;
    Config config;
    Listeners listeners;
    tls::ClientContext tls;
    CounterRegion counters;
    std::vector<WorkerSlot> workers;
    TimePoint deadline{TimePoint::max()}; // for what it is doing: starting or draining
};

/// Loads the trust store that a configuration names. Throws ConfigError.
[[nodiscard]] tls::ClientContext load_trust(const Config& config);

} // namespace dotproxy
