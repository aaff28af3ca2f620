// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/handshakes.hh"

namespace dotproxy {

Handshakes::Seat Handshakes::enter(const Address& peer, Standing standing) noexcept {
    if (full()) {
        return {};
    }
    AddressCounts::Place place = addresses_.enter(peer, standing.near);
    if (!place || (!peer.is_loopback() && place.exceeds(most - taken_))) {
        return {};
    }
    ++taken_;
    return Seat{*this, std::move(place)};
}

} // namespace dotproxy
