// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/tcp_places.hh"

#include "shared/counter_region.hh"

#include <algorithm>

namespace dotproxy {

namespace {

// One address may have this many connections with a worker, however low the limit (C15).
constexpr std::uint64_t least_per_address = 16;
constexpr std::uint64_t share_counts_from = 64; // clients; with fewer, who has them does not matter

} // namespace

TcpPlaces::TcpPlaces(const Turn& turn, const CounterLease& all)
    : turn_{turn}, all_{all},
      // Every client can have an address of its own, and so can one that is refused.
      addresses_{turn.config.limits.tcp_clients + spare + 1} {}

bool TcpPlaces::full() const noexcept {
    return all_.sum(Counter::tcp_clients) >= turn_.config.limits.tcp_clients;
}

/// Whether an address would have more places than there are left for others (C15), see
/// Relay::crowds; it is taken to have as many with each of the other workers, if they have any.
bool TcpPlaces::is_too_many(const AddressCounts::Place& place, std::uint64_t own) const noexcept {
    if (!place) {
        return true;
    }
    const std::uint64_t limit = turn_.config.limits.tcp_clients;
    const std::uint64_t taken = all_.sum(Counter::tcp_clients);
    const std::uint64_t left = limit - std::min(limit, taken);
    const std::uint64_t elsewhere = taken - std::min(taken, own);
    const std::uint64_t here = place.count();
    return here > least_per_address && here + std::min(here * (all_.size() - 1), elsewhere) > left;
}

bool TcpPlaces::more_than_its_share(std::uint64_t own) const noexcept {
    return own > share_counts_from &&
           own * all_.size() > all_.sum(Counter::tcp_clients) + all_.size() * share_counts_from / 2;
}

} // namespace dotproxy
