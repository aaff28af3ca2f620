// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpFront: what clients over HTTP have besides, be it over TLS (RFC 8484) or from a proxy:
// requests in place of frames, each of which may be somebody else's, and answers that wait for
// permission.

#include "dns/frame.hh"
#include "dns/lifetime.hh"
#include "front/forwarded.hh"
#include "front/tcp_front.hh"
#include "http/http1.hh"
#include "http/server_session.hh"
#include "relay/gate.hh"

#include <algorithm>
#include <memory>
#include <utility>

namespace dotproxy {

namespace {

// Of what was read so much is taken in before the clock is looked at, if need be.
constexpr std::size_t feed_size = 4096;
// To take in so many octets of HTTP costs about as much as a question, at the worst.
constexpr std::size_t octets_a_piece = 256;
constexpr unsigned requests_a_visit = 256;
// While so much is not written, nothing is added to it (E45).
constexpr std::size_t output_limit = http::Server::output_limit;

} // namespace

void TcpFront::speak(TcpClient& client, http::Version version) noexcept {
    client.wire = Wire::http;
    if (version == http::Version::http2) {
        client.http = std::make_unique<http::ServerSession>(http_, client.door.service,
                                                            turn_.config.limits.queries_per_client);
    } else {
        client.http = std::make_unique<http::Http1>(http_, client.door.service);
    }
}

/// Takes the requests that are whole, as far as the client may ask more and the turn has time for
/// them (E51).
void TcpFront::take_http(TcpClient& client, dns::Octets octets) noexcept {
    if (client.http == nullptr) {
        client.in.append(octets);
        const http::Version version = http::version_of(client.in.view());
        if (version == http::Version::unknown) {
            taken(client, false);
            return;
        }
        speak(client, version);
        feed(client, client.in.view());
        client.in.clear();
    } else {
        feed(client, octets);
    }
    bool asked = false;
    http::Request request;
    for (unsigned left = requests_a_visit; left > 0; --left) {
        if (!may_take(client) || turn_.streams.spent() || !client.http->next_request(request)) {
            break;
        }
        take_request(client, request);
        asked = true;
    }
    if (!client.closed) {
        taken(client, asked);
    }
}

void TcpFront::feed(TcpClient& client, dns::Octets octets) noexcept {
    while (!octets.empty()) {
        const dns::Octets piece = octets.first(std::min(octets.size(), feed_size));
        octets = octets.subspan(piece.size());
        turn_.streams.charge(static_cast<unsigned>(1 + piece.size() / octets_a_piece));
        static_cast<void>(client.http->feed(piece));
    }
    turn_.counters.add(Counter::http_refused, client.http->take_refused());
}

void TcpFront::take_request(TcpClient& client, const http::Request& request) noexcept {
    Client asker = asker_of(client);
    asker.request = request.stream;
    if (client.door.service.forwarded && client.door.trusts(client.peer) &&
        !find_asker(client, request, asker)) {
        return;
    }
    turn_.counters.add(Counter::http_queries);
    if (ask(client, asker, request.message) == Relay::Heard::nothing && !client.closed) {
        turn_down(client, request.stream, http::Status::bad_request); // else it would wait (E58)
    }
}

/// Whose the request of a proxy is. false: it was turned down.
bool TcpFront::find_asker(TcpClient& client, const http::Request& request, Client& asker) noexcept {
    const auto peer = request.forwarded_too_long
                          ? std::nullopt
                          : forwarded_client(request.forwarded_for, *client.door.here);
    if (!peer) {
        // To take the proxy itself for it would make everybody this host (E73).
        turn_down(client, request.stream, http::Status::bad_request);
        return false;
    }
    const auto standing = gate_.admit(*peer, client.door.access);
    if (!standing || gate_.blocks(*peer)) {
        turn_.counters.add(Counter::access_refused, standing ? 0 : 1);
        turn_down(client, request.stream, http::Status::forbidden);
        return false;
    }
    asker.peer = *peer;
    asker.standing = *standing;
    return true;
}

void TcpFront::turn_down(TcpClient& client, std::uint32_t request, http::Status status) noexcept {
    turn_.counters.add(Counter::http_refused);
    static_cast<void>(client.http->fail(request, status));
}

dns::MutableOctets TcpFront::http_room(std::size_t size) noexcept {
    if (http_room_.empty()) { // who has no such clients has no such memory
        http_room_.resize(dns::frame_prefix_size + dns::max_message_size);
    }
    return std::span{http_room_}.first(size);
}

/// false: the client does not want it any more.
bool TcpFront::respond(TcpClient& client, const Client& asker, dns::Octets answer) noexcept {
    const auto max_age = static_cast<std::uint32_t>(dns::lifetime_of(answer).count());
    return client.http->respond(asker.request, answer, max_age) == http::Server::Answered::queued;
}

/// As gather().
bool TcpFront::gather_http(TcpClient& client) noexcept {
    using State = http::Server::State;
    if (client.out.size() >= output_limit) {
        return true;
    }
    const State state = client.http->fill();
    if (state != State::open && !client.ended) {
        client.ended = true; // what it still gets is in the output
        turn_.counters.add(Counter::http_broken, client.http->reason().empty() ? 0 : 1);
    }
    if (state == State::dead) {
        return false;
    }
    Buffer& output = client.http->output();
    if (client.tls != nullptr) {
        return seal(client, output);
    }
    if (client.out.empty()) {
        std::swap(client.out, output);
    } else {
        client.out.append(output.view());
        output.clear();
    }
    account(client);
    return true;
}

} // namespace dotproxy
