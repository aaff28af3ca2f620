// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/groups.hh"

#include <algorithm>

namespace dotproxy {

Group::Group(unsigned number, Turn& turn, const tls::ClientContexts& contexts,
             const CounterLease& counts, Inquirer& inquirer, HealthCheck::Timing timing)
    : endpoints{turn, number, contexts, counts},
      health_check{turn, endpoints, counts, timing}, upstreams{turn, endpoints, inquirer} {}

Groups::Groups(Turn& turn, const tls::ClientContexts& contexts, const CounterLease& counts,
               Inquirer& inquirer, HealthCheck::Timing timing)
    : turn_{turn} {
    for (unsigned number = 0; number < turn.config.groups.size(); ++number) {
        all_.push_back(std::make_unique<Group>(number, turn, contexts, counts, inquirer, timing));
    }
}

void Groups::start_check() noexcept {
    for (const auto& group : all_) {
        group->health_check.start();
    }
}

void Groups::stop_check() noexcept {
    for (const auto& group : all_) {
        group->health_check.stop();
    }
}

void Groups::expire() noexcept {
    for (const auto& group : all_) {
        group->upstreams.expire();
        group->health_check.expire();
        group->health_check.report();
    }
}

void Groups::soonest(TimePoint& earliest) noexcept {
    for (const auto& group : all_) {
        group->upstreams.soonest(earliest);
        group->health_check.soonest(earliest);
    }
}

void Groups::flush() noexcept {
    for (const auto& group : all_) {
        group->upstreams.flush();
        group->health_check.flush();
    }
}

void Groups::bury() noexcept {
    std::size_t connections = 0;
    for (const auto& group : all_) {
        group->upstreams.bury();
        group->health_check.bury();
        connections += group->upstreams.connections();
    }
    if (connections != connections_) { // others read it all the time
        connections_ = connections;
        turn_.counters.set(Counter::upstream_connections, connections);
    }
}

void Groups::close_all() noexcept {
    for (const auto& group : all_) {
        group->upstreams.close_all();
    }
}

} // namespace dotproxy
