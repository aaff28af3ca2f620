// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/tcp_places.hh"

#include "shared/counter_region.hh"

#include <algorithm>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// One address may have this many connections with a worker, however low the limit (C15).
constexpr std::uint64_t least_per_address = 16;
// Where places are scarce, so much of its time has who does not use his; and no more than this
// where few are left: whoever has something to ask has done so by then.
constexpr int part_where_scarce = 4;
constexpr Clock::duration most_where_few = 500ms;
constexpr std::uint64_t share_counts_from = 64; // clients; with fewer, who has them does not matter

} // namespace

TcpPlaces::TcpPlaces(const CounterLease& all, Counter gauge, std::uint32_t limit)
    : all_{all}, gauge_{gauge}, limit_{limit},
      // Every client can have an address of its own, and so can one that is refused.
      addresses_{limit + spare + 1} {}

std::uint64_t TcpPlaces::taken() const noexcept {
    return all_.sum(gauge_);
}

bool TcpPlaces::full() const noexcept {
    return taken() >= limit_;
}

/// Whether a source would have more places than there are left for others (C15), see
/// AddressCounts::Place::exceeds; it is taken to have as many with each of the other workers, if
/// they have any.
bool TcpPlaces::is_too_many(const AddressCounts::Place& place, std::uint64_t own) const noexcept {
    if (!place) {
        return true;
    }
    const std::uint64_t in_all = taken();
    const std::uint64_t left = limit_ - std::min(limit_, in_all);
    const std::uint64_t elsewhere = in_all - std::min(in_all, own);
    const auto has_more_than = [&](std::uint64_t here, std::uint64_t times) {
        return here > times * least_per_address &&
               here + std::min(here * (all_.size() - 1), elsewhere) > times * left;
    };
    return has_more_than(place.count(), 1) ||
           has_more_than(place.count_around(), AddressCounts::Place::around_times);
}

void TcpPlaces::look() noexcept {
    const std::uint64_t left = limit_ - std::min(limit_, taken());
    if (left * 2 >= limit_) {
        scarcity_ = Scarcity::none;
    } else {
        scarcity_ = left * 4 >= limit_ ? Scarcity::some : Scarcity::great;
    }
}

Clock::duration TcpPlaces::kept(Clock::duration most) const noexcept {
    switch (scarcity_) {
    case Scarcity::some:
        return most / part_where_scarce;
    case Scarcity::great:
        return std::min(most / part_where_scarce, most_where_few);
    case Scarcity::none:
        break;
    }
    return most;
}

bool TcpPlaces::more_than_its_share(std::uint64_t own) const noexcept {
    return own > share_counts_from &&
           own * all_.size() > taken() + all_.size() * share_counts_from / 2;
}

} // namespace dotproxy
