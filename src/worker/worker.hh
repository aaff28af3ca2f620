// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Worker: the data plane in one process. run_worker() is what the child does after the fork; the
// rest is what master and worker say to each other.

#pragma once

#include "base/fd.hh"
#include "base/listener.hh"
#include "config/config.hh"
#include "config/cookie_secrets.hh"
#include "front/handover.hh"
#include "shared/cache_memory.hh"
#include "shared/counter_region.hh"
#include "shared/limits_memory.hh"
#include "shared/on_link.hh"

#include <cstdint>
#include <memory>
#include <vector>

namespace dotproxy {

namespace tls {
class ClientContext;
class ServerContext;
} // namespace tls

/// What the master tells a worker: one octet a message.
enum class Order : std::uint8_t {
    hand_over = 'H', // a new generation serves: finish what is begun, hand client connections over
    finish = 'F',    // the service ends: finish what is begun, close client connections
    ping = 'P',      // say that you are alive
    check = 'C',     // see whether every upstream works, and log which do not
};

/// What a worker tells the master.
enum class Report : std::uint8_t {
    ready = 'R', // takes queries
    alive = 'A',
    offence = 'O', // somebody is over a limit (Offenders::note)
};

/// What a worker is given. All of it outlives the worker, whose process ends with it.
struct WorkerBrief {
    const Config& config;
    const std::vector<std::shared_ptr<const Listener>>& listeners;
    const std::vector<std::shared_ptr<const tls::ClientContext>>& tls; // one for each upstream
    const tls::ServerContext* server_tls; // nullptr: no listener speaks it
    const CounterLease& counters;
    const CacheMemory* cache; // nullptr: none
    unsigned slot;            // which of the counters are its own
    const Handover& handover;
    const OnLink& on_link;
    const LimitsMemory& limits;
    const CookieSecrets& cookie_secrets;
    Fd control; // SOCK_SEQPACKET; at its end of file the master is gone, and the worker goes
};

/// The number of the form in which workers store answers; see CacheMemory. A change of what
/// dns/kept.cc or dns/key.cc writes raises it.
constexpr std::uint32_t cache_format = 3;

/// Exit status of a worker.
constexpr int exit_finished = 0;
constexpr int exit_failed = 1;
/// This configuration cannot work here: to be respawned is of no use.
constexpr int exit_hopeless = 78;

/// Relays until it is told to end. Returns the exit status.
[[nodiscard]] int run_worker(WorkerBrief brief) noexcept;

} // namespace dotproxy
