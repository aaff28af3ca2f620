// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpFront: what connections of proxies begin with where these announce their clients (E74, E75).
// From there on a connection is its client's, in all that is allowed, limited and counted.

#include "front/proxy_header.hh"
#include "front/tcp_front.hh"
#include "relay/gate.hh"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <sys/socket.h>

namespace dotproxy {

/// Looks whether all of the header is there, and takes it and nothing else: what follows is for
/// whoever reads it then.
void TcpFront::hear_proxy(TcpClient& client) noexcept {
    const auto room = std::span{*turn_.scratch}.first(most_proxy_header);
    const auto held = client.in.view();
    std::copy(held.begin(), held.end(), room.begin());
    const auto rest = room.subspan(held.size());
    const ssize_t count = ::recv(client.socket.get(), rest.data(), rest.size(), MSG_PEEK);
    if (count <= 0) {
        if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
            close(client);
        } else {
            set_events(client);
        }
        return;
    }
    const auto size = static_cast<std::size_t>(count);
    const ProxyHeader header = parse_proxy_header(room.first(held.size() + size));
    if (header.state == ProxyHeader::State::invalid) {
        turn_.counters.add(Counter::proxy_refused);
        turn_away(client);
        return;
    }
    const bool whole = header.state == ProxyHeader::State::complete;
    const std::size_t more = whole ? header.size - held.size() : size;
    static_cast<void>(::recv(client.socket.get(), rest.data(), more, 0));
    if (!whole) {
        client.in.append(rest.first(more)); // else it would be reported again and again
        taken(client, false);
        return;
    }
    client.in.clear();
    // A proxy that asks for itself may; whose client nobody knows is who has brought it (E75).
    if (header.local || announce(client, header.client.value_or(client.peer))) {
        client.announced = true;
        if (!client.over_tls()) { // else it gets into line when it has said something
            wait(client);
        }
        taken(client, true);
    }
}

/// false: that client may not ask, or has as much as it may, and the connection was closed.
bool TcpFront::announce(TcpClient& client, const Address& peer) noexcept {
    if (gate_.blocks(peer)) { // counted, as by connect()
        turn_away(client);
        return false;
    }
    const auto standing = gate_.admit(peer, client.door.access);
    if (!standing) {
        turn_.counters.add(Counter::access_refused);
        turn_away(client);
        return false;
    }
    if (!gate_.connect(peer, *standing)) {
        turn_away(client);
        return false;
    }
    client.peer = peer;
    client.standing = *standing;
    client.place = places_.enter(peer, *standing);
    bool too_many = places_.is_too_many(client.place, clients_.size());
    if (client.over_tls()) {
        client.tls_place = tls_places_.enter(peer, *standing);
        too_many = too_many || tls_places_.is_too_many(client.tls_place, over_tls_);
    }
    if (too_many) {
        turn_.counters.add(Counter::tcp_refused_address);
        turn_away(client);
    }
    return !too_many;
}

/// Nothing is kept of him, in the kernel neither.
void TcpFront::turn_away(TcpClient& client) noexcept {
    reset(client.socket);
    close(client, TlsFailure::ended);
}

} // namespace dotproxy
