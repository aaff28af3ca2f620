// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/tcp_front.hh"

#include "relay/gate.hh"
#include "relay/relay.hh"

#include <cassert>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration leave_again = 10ms;

} // namespace

void TcpClient::on_ready(std::uint32_t ready) noexcept {
    front.on_ready(*this, ready);
}

TcpFront::TcpFront(Turn& turn, Gate& gate, Relay& relay, Courtesy& courtesy,
                   const CounterLease& all, const Handover& handover)
    : turn_{turn}, gate_{gate}, relay_{relay}, handover_{handover}, places_{turn, all},
      deadlines_{turn.config, places_}, leaving_{leave_again}, intake_{turn, *this, gate, courtesy,
                                                                       handover},
      clients_{turn.config.limits.tcp_clients + TcpPlaces::spare} {}

TcpFront::~TcpFront() = default;

void TcpFront::welcome(Fd socket, const Address& peer, Standing standing) noexcept {
    if (TcpClient* client = admit(std::move(socket), peer, standing)) {
        wait(*client); // the query is often there already
    }
}

void TcpFront::adopt(Fd socket, const Address& peer, Standing standing,
                     dns::Octets unread) noexcept {
    if (TcpClient* client = admit(std::move(socket), peer, standing)) {
        client->greeted = true;
        TcpDeadlines::adopt(*client);
        client->in.append(unread);
        account(*client);
        wait(*client);
    }
}

/// Makes a client of a connection; where there is no room the one that was idle longest makes way
/// (RFC 7766, section 6.2.3). nullptr: refused.
TcpClient* TcpFront::admit(Fd socket, const Address& peer, Standing standing) noexcept {
    AddressCounts::Place place = places_.enter(peer);
    if (places_.is_too_many(place, clients_.size())) {
        refuse(socket, Counter::tcp_refused_address);
        return nullptr;
    }
    if (places_.full()) {
        if (TcpClient* idlest = deadlines_.pop_idlest()) {
            turn_.counters.add(Counter::tcp_idle_closed);
            close(*idlest);
        }
    }
    if (places_.full()) {
        refuse(socket, Counter::tcp_refused);
        return nullptr;
    }
    TcpClient* client = clients_.create(*this, std::move(socket), peer, standing, std::move(place));
    if (client == nullptr) { // too many were closed in this turn
        turn_.counters.add(Counter::tcp_refused);
        return nullptr;
    }
    client->events = EPOLLIN | EPOLLRDHUP;
    client->watching = turn_.loop.add(client->socket.get(), client->events, *client);
    if (!client->watching) {
        refuse(client->socket, Counter::tcp_refused);
        clients_.destroy(client);
        return nullptr;
    }
    count_clients();
    deadlines_.set(*client, turn_.now);
    return client;
}

/// There is no room for a connection. It is reset: of one that is closed in order the kernel would
/// keep something for a minute, and its client would ask before it learns of that (limits 36).
void TcpFront::refuse(const Fd& socket, Counter why) noexcept {
    turn_.counters.add(why);
    reset(socket);
}

bool TcpFront::more_than_its_share() const noexcept {
    return places_.more_than_its_share(clients_.size());
}

void TcpFront::on_ready(TcpClient& client, std::uint32_t events) noexcept {
    if (client.closed) {
        return;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        close(client); // reset: nobody is there to be answered (C12)
        return;
    }
    if (client.waiting) {
        set_events(client); // once is enough: epoll has places for others
    } else {
        wait(client);
    }
}

/// Has the client visited when its turn comes.
void TcpFront::wait(TcpClient& client) noexcept {
    if (!client.waiting) {
        client.waiting = true;
        waiting_.push_back(clients_.handle_of(&client));
    }
}

void TcpFront::serve() noexcept {
    while (!waiting_.empty() && !turn_.streams.spent()) {
        TcpClient* client = clients_.find(waiting_.front());
        waiting_.pop_front();
        if (client != nullptr) {
            client->waiting = false;
            visit(*client);
        }
    }
    behind_ = !waiting_.empty();
}

/// Ends the connections of who was blocked since the last look (limits 22).
void TcpFront::close_blocked() noexcept {
    const std::uint32_t version = gate_.blocked_version();
    if (std::exchange(blocked_version_, version) != version) {
        clients_.for_each([this](TcpClient& client) {
            if (!client.closed && gate_.blocks(client.peer)) {
                close(client);
            }
        });
    }
}

void TcpFront::expire() noexcept {
    close_blocked();
    Counter why{};
    places_.look();
    while (TcpClient* client = deadlines_.pop(turn_.now, why)) {
        turn_.counters.add(why);
        close(*client);
        places_.look(); // there may be enough again
    }
    while (TcpClient* client = deadlines_.pop_deaf(turn_.now)) {
        cut(*client);
    }
    handover_full_ = false;
    while (TcpClient* client = leaving_.pop(turn_.now)) {
        leave(*client);
    }
    intake_.expire();
}

void TcpFront::soonest(TimePoint& earliest) const noexcept {
    if (!waiting_.empty()) {
        earliest = turn_.now;
    }
    deadlines_.soonest(earliest);
    leaving_.soonest(earliest);
    intake_.soonest(earliest);
}

void TcpFront::drain(bool to_successor) noexcept {
    to_successor_ = to_successor;
    intake_.close();
    serve(); // also who has just come
    draining_ = true;
    clients_.for_each([this](TcpClient& client) { mark_dirty(client); });
}

/// The client has all its answers and this worker is done with it.
void TcpFront::leave(TcpClient& client) noexcept {
    if (client.ended || !to_successor_) {
        close(client);
        return;
    }
    handover_full_ = handover_full_ || !hand_over(handover_, client.socket.get(), client.in.view());
    if (!handover_full_) {
        turn_.counters.add(Counter::tcp_handed_over);
        close(client);
    } else {
        leaving_.arm(client, turn_.now);
        set_events(client); // it is not read any more
    }
}

/// Closes a client that does not read, or holds too much: it is reset, or else the kernel would
/// keep for minutes what it has of its answers.
void TcpFront::cut(TcpClient& client) noexcept {
    turn_.counters.add(Counter::tcp_timed_out);
    reset(client.socket);
    close(client);
}

void TcpFront::close(TcpClient& client) noexcept {
    if (client.closed) {
        return;
    }
    client.closed = true;
    held_ -= client.held;
    client.held = 0;
    client.disarm();
    client.reading.disarm();
    closed_.push_back(&client);
    count_clients();
}

void TcpFront::bury() noexcept {
    if (closed_.empty()) {
        return;
    }
    for (TcpClient* client : closed_) {
        clients_.destroy(client);
    }
    closed_.clear();
    assert(held_ == 0 || clients_.size() > 0); // who has gone holds nothing
}

void TcpFront::count_clients() noexcept {
    turn_.counters.set(Counter::tcp_clients, clients_.size() - closed_.size());
}

} // namespace dotproxy
