// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/groups.hh"

#include "upstream/plain_upstreams.hh"
#include "upstream/upstreams.hh"

#include <algorithm>

namespace dotproxy {

Groups::Groups(Turn& turn, const tls::ClientContexts& contexts, const CounterLease& counts,
               Inquirer& inquirer, HealthCheck::Timing timing)
    : turn_{turn} {
    for (unsigned number = 0; number < turn.config.groups.size(); ++number) {
        if (turn.config.is_plain(number)) {
            all_.push_back(std::make_unique<PlainUpstreams>(turn, number, counts, inquirer));
        } else {
            all_.push_back(
                std::make_unique<Upstreams>(turn, number, contexts, counts, inquirer, timing));
        }
    }
}

void Groups::start_check() noexcept {
    for (const auto& group : all_) {
        group->start_check();
    }
}

void Groups::stop_check() noexcept {
    for (const auto& group : all_) {
        group->stop_check();
    }
}

void Groups::expire() noexcept {
    for (const auto& group : all_) {
        group->expire();
    }
}

void Groups::soonest(TimePoint& earliest) noexcept {
    for (const auto& group : all_) {
        group->soonest(earliest);
    }
}

void Groups::flush() noexcept {
    for (const auto& group : all_) {
        group->flush();
    }
}

void Groups::bury() noexcept {
    std::size_t connections = 0;
    for (const auto& group : all_) {
        group->bury();
        connections += group->connections();
    }
    if (connections != connections_) { // others read it all the time
        connections_ = connections;
        turn_.counters.set(Counter::upstream_connections, connections);
    }
}

void Groups::close_all() noexcept {
    for (const auto& group : all_) {
        group->close_all();
    }
}

} // namespace dotproxy
