// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/connect_test.hh"

#include "master/confinement.hh"
#include "master/generation.hh"
#include "shared/counter_region.hh"
#include "worker/upstream_check.hh"

namespace dotproxy {

bool try_upstreams(const Config& config, const std::optional<Account>& account) {
    const tls::ClientContexts contexts = load_trust(config);
    CounterRegion counters{1}; // nobody will ask
    const CounterLease lease = counters.lease(1, config.upstream_texts());
    drop_privileges(account);
    confine(config, lease.slot(0), !config.certificates.empty());
    return check_upstreams(config, contexts, lease);
}

} // namespace dotproxy
