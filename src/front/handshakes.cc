// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/handshakes.hh"

namespace dotproxy {

Handshakes::Seat Handshakes::enter(const Address& peer) noexcept {
    if (full()) {
        return {};
    }
    AddressCounts::Place place = addresses_.enter(peer);
    if (!place || (!peer.is_loopback() && place.count() > most - taken_)) {
        return {};
    }
    ++taken_;
    return Seat{*this, std::move(place)};
}

} // namespace dotproxy
