// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Confinement: what `sandbox` means for master and worker.

#pragma once

#include "config/config.hh"
#include "shared/counters.hh"

namespace dotproxy {

/// For the master, once it is who it will be: keeps its memory, which is the workers' as well, from
/// others of its account. Says in the log what the kernel does not have.
void confine_master() noexcept;

/// For a process that is to read what comes from the network: shuts it in, or lets it be looked at
/// where the sandbox is off and it has no `keys` of certificates (E10). What it dies of then is
/// left in `counters`. Throws std::system_error or std::exception where its sandbox cannot be had.
void confine(const Config& config, Counters& counters, bool keys);

/// The same for a process that was forked to be a worker. Ends it where its sandbox cannot be had:
/// with exit_hopeless where it would be of no use to try again.
void confine_worker(const Config& config, Counters& counters, bool keys) noexcept;

} // namespace dotproxy
