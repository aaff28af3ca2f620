// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpFront: what clients over TLS have besides: the line before the handshake, records in place of
// octets, and, as those over HTTP, an orderly end.

#include "front/ends.hh"
#include "front/tcp_front.hh"
#include "relay/gate.hh"

#include <algorithm>
#include <memory>
#include <optional>
#include <sys/socket.h>
#include <utility>

namespace dotproxy {

namespace {

// Of those who wait for a seat so many are looked at in a turn.
constexpr unsigned looks_a_turn = 64;
// To take in so many octets of records costs about as much as a question, at the worst.
constexpr std::size_t octets_a_piece = 1024;
// No more of the line than this, and half of it, is of clients that have gone.
constexpr std::size_t most_gone = 64;
// Who does not confirm within this time that it has heard of the end has heard of it.
constexpr Clock::duration notice_time = std::chrono::seconds{1};

TlsFailure failure_of(tls::ServerStream::Ending ending) noexcept {
    switch (ending) {
    case tls::ServerStream::Ending::closed:
        return TlsFailure::closed;
    case tls::ServerStream::Ending::certificate:
        return TlsFailure::certificate;
    case tls::ServerStream::Ending::incompatible:
        return TlsFailure::incompatible;
    case tls::ServerStream::Ending::nonsense:
        break;
    }
    return TlsFailure::nonsense;
}

} // namespace

void TcpFront::get_into_line(const TcpClient& client) noexcept {
    arriving_.push_back(clients_.handle_of(&client));
    passed_over_ = 0;
    // As long as there is no seat nobody looks at who has gone meanwhile.
    if (arriving_.size() > most_gone + 2 * std::size_t{over_tls_}) {
        std::erase_if(arriving_, [this](Handle handle) { return has_gone(handle); });
    }
}

bool TcpFront::has_gone(Handle handle) noexcept {
    const TcpClient* const client = clients_.find(handle);
    return client == nullptr || client->closed;
}

/// Whether it is of use to look at who waits for a seat.
bool TcpFront::may_seat() const noexcept {
    const bool one_was_left = handshakes_.left() != seats_left_;
    return !arriving_.empty() && !handshakes_.full() &&
           (one_was_left || passed_over_ < arriving_.size());
}

/// Gives seats to who has said something, in the order in which they did: to one in each turn, and
/// to others as long as the turn has time for streams (E25). Whose address has as many as it may is
/// passed over, and keeps its place behind those who are not.
void TcpFront::seat_arrivals() noexcept {
    if (std::exchange(seats_left_, handshakes_.left()) != handshakes_.left()) {
        passed_over_ = 0;
    }
    bool first = true;
    for (unsigned looks = 0; looks < looks_a_turn && may_seat(); ++looks) {
        if (!first && turn_.streams.spent()) {
            return;
        }
        const Handle handle = arriving_.front();
        arriving_.pop_front();
        TcpClient* client = clients_.find(handle);
        if (client == nullptr || client->closed) {
            continue;
        }
        Handshakes::Seat seat = handshakes_.enter(client->peer, client->standing);
        if (!seat) {
            arriving_.push_back(handle);
            ++passed_over_;
            continue;
        }
        passed_over_ = 0;
        first = false;
        client->waiting = false;
        begin_handshake(*client, std::move(seat));
        visit(*client);
    }
}

void TcpFront::begin_handshake(TcpClient& client, Handshakes::Seat seat) noexcept {
    client.tls =
        std::make_unique<TlsChannel>(client, *tls_, near_end(client.socket).value_or(Address{}),
                                     client.door.speaks, client.out, std::move(seat));
    slow_.arm(*client.tls, turn_.now);
    count_clients();
}

/// true: the handshake is over, and what follows are questions.
bool TcpFront::shake(TcpClient& client) noexcept {
    TlsChannel& channel = *client.tls;
    const bool greeted = channel.stream.greeted();
    // On both sides of it the clock is read: it may take as long as all that a turn has.
    turn_.streams.charge(StreamBudget::look_every);
    const tls::Io io = channel.stream.handshake();
    turn_.streams.charge(StreamBudget::look_every);
    if (!greeted && channel.stream.greeted() && !channel.stream.resumes()) {
        gate_.charge_handshake(client.peer, client.standing);
    }
    account(client);
    if (io == tls::Io::again) {
        return false;
    }
    if (io != tls::Io::done) {
        part(client, failure_of(channel.stream.ending()));
        return false;
    }
    turn_.counters.add(Counter::tls_handshakes);
    turn_.counters.add(Counter::tls_resumed, channel.stream.resumed() ? 1 : 0);
    settle_wire(client);
    channel.disarm();
    channel.seat = {};
    client.disarm(); // from here on it has the time for a first question
    count_clients();
    return true;
}

/// What is spoken on it is known from now on, but for the version of HTTP of a client that did not
/// say it. At a port for both, who says nothing speaks DNS in frames (E23).
void TcpFront::settle_wire(TcpClient& client) noexcept {
    using Application = tls::ServerStream::Application;
    switch (client.tls->stream.application()) {
    case Application::dot:
        client.wire = Wire::frames;
        break;
    case Application::http2:
        speak(client, http::Version::http2);
        break;
    case Application::http1:
        speak(client, http::Version::http1);
        break;
    case Application::unsaid:
        break;
    }
}

/// Takes in what was read, and takes the queries that were in it.
void TcpFront::unseal(TcpClient& client, dns::Octets records) noexcept {
    tls::ServerStream& stream = client.tls->stream;
    // There may be nothing in them that would be charged as a question.
    turn_.streams.charge(static_cast<unsigned>(records.size() / octets_a_piece));
    stream.feed(records);
    if (!stream.ready() && !shake(client)) {
        return;
    }
    const std::span plain{*turn_.plain};
    std::size_t filled = 0;
    std::size_t size = 0;
    tls::Io io = tls::Io::done;
    while ((io = stream.receive(plain.subspan(filled), size)) == tls::Io::done) {
        filled += size;
        turn_.streams.charge();
        if (filled == plain.size()) {
            take(client, plain);
            filled = 0;
        }
        if (client.closed || client.ended) {
            return; // what follows in this stream means nothing
        }
    }
    if (filled > 0) {
        take(client, plain.first(filled));
    }
    if (client.closed) {
        return;
    }
    if (io == tls::Io::closed) {
        client.ended = true; // it gets the answers that are due
    } else if (io == tls::Io::failed) {
        part(client);
        return;
    }
    mark_dirty(client);
}

/// Makes records of what is in `plain`. false: the session has failed.
bool TcpFront::seal(TcpClient& client, Buffer& plain) noexcept {
    if (plain.empty()) {
        return true;
    }
    const tls::Io io = client.tls->stream.send(plain.view());
    plain.clear();
    plain.release();
    account(client);
    return io == tls::Io::done;
}

/// Closes a client, over TLS or HTTP with the word that nothing more will come, or why.
void TcpFront::part(TcpClient& client, TlsFailure if_shaking) noexcept {
    if (client.closed) {
        return;
    }
    if (client.http != nullptr) {
        client.http->terminate();
        static_cast<void>(gather(client));
    }
    if (client.tls != nullptr) {
        client.tls->stream.close();
    }
    const auto octets = client.out.view();
    if (!octets.empty()) {
        static_cast<void>(
            ::send(client.socket.get(), octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    }
    close(client, if_shaking);
}

/// Where others wait for a seat and there is none, those give theirs up who are too slow.
void TcpFront::end_slow_handshakes() noexcept {
    while (!arriving_.empty() && has_gone(arriving_.front())) {
        arriving_.pop_front();
    }
    while (handshakes_.full() && !arriving_.empty()) {
        TlsChannel* slow = slow_.pop(turn_.now);
        if (slow == nullptr) {
            return;
        }
        turn_.counters.add(Counter::tcp_timed_out);
        part(slow->client, TlsFailure::timeout);
    }
}

void TcpFront::begin_farewells() noexcept {
    farewells_ = {};
    if (!to_successor_) {
        return;
    }
    farewells_.since = turn_.now;
    clients_.for_each([this](const TcpClient& client) {
        if (stays(client)) {
            farewells_.clients.push_back(clients_.handle_of(&client));
        }
    });
    farewells_.all = farewells_.clients.size();
}

/// When the next one is due; spread over the first half of the time to drain, so that not all come
/// back at once (E62).
TimePoint TcpFront::next_farewell() const noexcept {
    if (farewells_.clients.empty()) {
        return TimePoint::max();
    }
    const Clock::duration time = turn_.config.timeouts.drain / 2;
    const auto part =
        static_cast<double>(farewells_.said + 1) / static_cast<double>(farewells_.all);
    return farewells_.since + std::chrono::duration_cast<Clock::duration>(time * part);
}

void TcpFront::say_farewells() noexcept {
    while (next_farewell() <= turn_.now) {
        const Handle handle = farewells_.clients.front();
        farewells_.clients.pop_front();
        ++farewells_.said;
        if (!has_gone(handle)) {
            say_farewell(*clients_.find(handle));
        }
    }
    while (!farewells_.notices.empty() && farewells_.notices.front().until <= turn_.now) {
        const Handle handle = farewells_.notices.front().client;
        farewells_.notices.pop_front();
        if (!has_gone(handle)) {
            clients_.find(handle)->http->last_call();
            mark_dirty(*clients_.find(handle));
        }
    }
}

/// It goes when it has its answers; over HTTP also those to what it asks before it has heard of
/// this.
void TcpFront::say_farewell(TcpClient& client) noexcept {
    client.parting = true;
    if (client.http != nullptr) {
        client.http->drain();
        farewells_.notices.push_back(
            {.client = clients_.handle_of(&client), .until = turn_.now + notice_time});
    }
    mark_dirty(client);
}

} // namespace dotproxy
