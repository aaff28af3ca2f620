// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "worker/upstream_check.hh"

#include "base/log.hh"
#include "upstream/endpoints.hh"
#include "upstream/health_check.hh"
#include "upstream/turn.hh"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <memory>
#include <vector>

namespace dotproxy {

namespace {

using Findings = std::vector<HealthCheck::Finding>;

Findings run(Turn& turn, HealthCheck& check) {
    Findings findings;
    check.start();
    while (!check.is_over()) {
        TimePoint earliest = TimePoint::max();
        check.soonest(earliest);
        turn.loop.wait_and_dispatch(earliest, turn.now);
        check.expire();
        check.flush();
        std::ranges::move(check.take_findings(), std::back_inserter(findings));
        check.bury();
    }
    return findings;
}

/// Says what was found. false: it is not as it should be.
bool tell(const HealthCheck::Finding& found, bool dispensable) {
    const std::string text = found.endpoint.text();
    if (found.works()) {
        const auto took = std::chrono::round<Milliseconds>(found.took);
        std::printf("%s: ok (%s, %lld ms)\n", text.c_str(), found.tls_version,
                    static_cast<long long>(took.count()));
        return true;
    }
    log::write(dispensable ? log::Level::warning : log::Level::error, "upstream %s: %s",
               text.c_str(), found.reason.c_str());
    return dispensable;
}

/// Of those that are asked in the clear there is nothing to verify.
void tell_plain(const Config& config, unsigned group) {
    for (const UpstreamConfig& upstream : config.upstreams) {
        for (const Address& address : upstream.addresses) {
            if (upstream.group == group) {
                std::printf("%s: not tried, since it is asked in the clear\n",
                            upstream.text(address).c_str());
            }
        }
    }
}

} // namespace

bool check_upstreams(const Config& config,
                     const std::vector<std::shared_ptr<const tls::ClientContext>>& contexts,
                     const CounterLease& counters) {
    const auto turn = std::make_unique<Turn>(config, counters.slot(0));
    bool good = true;
    for (unsigned group = 0; group < config.groups.size(); ++group) {
        if (config.is_plain(group)) {
            tell_plain(config, group);
            continue;
        }
        Endpoints endpoints{*turn, group, contexts, counters};
        HealthCheck check{*turn, endpoints, counters, {}};
        for (const HealthCheck::Finding& found : run(*turn, check)) {
            good = tell(found, check.is_dispensable(found)) && good;
        }
    }
    return good;
}

} // namespace dotproxy
