// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The health check of the upstreams by itself, for `dotproxy -t --connect`.

#pragma once

#include "config/config.hh"
#include "shared/counter_region.hh"

#include <memory>
#include <vector>

namespace dotproxy {

namespace tls {
class ClientContext;
}

/// Connects to each address of each upstream once, as the workers do when the service starts, and
/// says what it found: a line on the standard output for one that works, and in the log for one
/// that does not. `contexts`, one for each upstream; `counters`, of one worker. Returns whether all
/// work, but for those that HealthCheck calls dispensable. Throws ConfigError as Endpoints does, or
/// std::system_error.
[[nodiscard]] bool
check_upstreams(const Config& config,
                const std::vector<std::shared_ptr<const tls::ClientContext>>& contexts,
                const CounterLease& counters);

} // namespace dotproxy
