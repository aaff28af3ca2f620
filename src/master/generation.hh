// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Generation: one configuration and everything made from it: sockets, trust store, cache and the
// workers that serve it. Made whole beside the one that runs; one that cannot be made
// changes nothing.

#pragma once

#include "config/config.hh"
#include "config/cookie_secrets.hh"
#include "master/certificates.hh"
#include "master/listeners.hh"
#include "master/worker_slot.hh"
#include "shared/cache_memory.hh"
#include "shared/counter_region.hh"
#include "tls/client_context.hh"

#include <memory>
#include <vector>

namespace dotproxy {

using CachePtr = std::shared_ptr<const CacheMemory>; // nullptr: none

struct Generation {
    /// Makes everything but the workers' processes. Sockets that `existing` has are shared with it:
    /// two generations serve on the same socket during a reload, and its queue outlives both. See
    /// open_listeners() for the others. `passed` are sockets that the service manager bound; they
    /// are always served. `known` is the cache so far, which is kept if its size is. Throws
    /// ConfigError or std::exception with a text for the administrator.
    Generation(unsigned its_number, Config its_config, const Listeners& passed,
               const Listeners& existing, CachePtr known = nullptr);

    [[nodiscard]] bool all_ready() const noexcept;
    [[nodiscard]] bool any_alive() const noexcept;
    [[nodiscard]] bool all_hopeless() const noexcept;
    /// Whether anybody is there to answer questions, as far as signs of life show.
    [[nodiscard]] bool responds() const noexcept;
    void tell_all(Order order) const noexcept;
    void kill_all(int signal) noexcept;
    [[nodiscard]] WorkerSlot* find(pid_t pid) noexcept;

    unsigned number;
    Config config;
    tls::ClientContexts tls;
    CookieSecrets cookie_secrets{}; // read apart, by the account that serves
    ServerTls server_tls{};         // the same
    CachePtr cache;                 // outlives the generation with the next one that has it
    Listeners listeners; // last of what can fail: a socket takes questions as soon as it is bound
    std::vector<WorkerSlot> workers;
    CounterLease counters;                // from the master's, before the first worker is forked
    TimePoint serves_since{};             // meaningful once it serves
    TimePoint deadline{TimePoint::max()}; // for what it is doing: starting or draining
};

/// A cache in the memory that a master before this one left; nullptr where there is none, or
/// anything about it is not as this one would have made it.
[[nodiscard]] CachePtr inherited_cache(Fd memory, const Config& config);

/// Loads the trust stores that a configuration names, each once. Throws ConfigError.
[[nodiscard]] tls::ClientContexts load_trust(const Config& config);

} // namespace dotproxy
