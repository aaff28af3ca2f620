// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/tcp_front.hh"

#include "front/ends.hh"
#include "relay/gate.hh"
#include "relay/relay.hh"

#include <algorithm>
#include <cassert>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration leave_again = 10ms;
// Of one source; who has more stands in a line apart.
constexpr std::uint32_t few_connections = 16;
// Who has not shaken hands after this long loses its seat when others wait for one: it is further
// away than anybody, or does not mean to.
constexpr Clock::duration handshake_patience = 500ms;

/// What nghttp2 may have in a worker: for each client that is there what it has when it does
/// nothing, and as much again where it does something, for some (E50).
std::size_t memory_for_http(const Config& config) noexcept {
    constexpr std::size_t for_one = 32768;
    constexpr std::size_t for_some = std::size_t{32} << 20U;
    return for_some + for_one * std::max(config.limits.tls_clients, config.limits.tcp_clients);
}

} // namespace

void TcpClient::on_ready(std::uint32_t ready) noexcept {
    front.on_ready(*this, ready);
}

TcpFront::TcpFront(Turn& turn, Gate& gate, Relay& relay, Courtesy& courtesy,
                   const CounterLease& all, const Handover& handover, const tls::ServerContext* tls)
    : turn_{turn}, gate_{gate}, relay_{relay}, handover_{handover}, tls_{tls},
      places_{all, Counter::tcp_clients, turn.config.limits.tcp_clients},
      tls_places_{all, Counter::tls_clients, tls != nullptr ? turn.config.limits.tls_clients : 0},
      deadlines_{turn.config, places_, tls_places_}, slow_{handshake_patience},
      leaving_{leave_again}, intake_{turn, *this, gate, courtesy, handover},
      http_{memory_for_http(turn.config)}, clients_{turn.config.limits.tcp_clients +
                                                    TcpPlaces::spare} {}

TcpFront::~TcpFront() = default;

void TcpFront::welcome(Fd socket, const Address& peer, Standing standing, const Door& door,
                       dns::Octets unread) noexcept {
    TcpClient* client = admit(std::move(socket), peer, standing, door);
    if (client == nullptr) {
        return;
    }
    if (!unread.empty()) { // of what a proxy says
        client->in.append(unread);
        account(*client);
    }
    if (!client->over_tls() || !client->announced) {
        wait(*client); // the query is often there already
    }                  // else it gets into line when it has said something
}

void TcpFront::adopt(Fd socket, const Address& peer, Standing standing, const Door& door,
                     dns::Octets unread) noexcept {
    if (TcpClient* client = admit(std::move(socket), peer, standing, door)) {
        client->greeted = client->announced = true;
        TcpDeadlines::adopt(*client);
        client->in.append(unread);
        account(*client);
        wait(*client);
    }
}

/// Whether all places for a client of that transport are taken.
bool TcpFront::full(Transport transport) const noexcept {
    return places_.full() || (transport == Transport::tls && tls_places_.full());
}

/// Where there is no place, takes one of who was idle longest (RFC 7766, section 6.2.3).
void TcpFront::make_way(Transport transport) noexcept {
    if (full(transport)) {
        const bool over_tls = transport == Transport::tls && tls_places_.full();
        TcpClient* idlest = over_tls ? deadlines_.pop_idlest_over_tls() : deadlines_.pop_idlest();
        if (idlest != nullptr) {
            turn_.counters.add(Counter::tcp_idle_closed);
            part(*idlest, TlsFailure::timeout);
        }
    }
}

/// Makes a client of a connection. nullptr: refused.
TcpClient* TcpFront::admit(Fd socket, const Address& peer, Standing standing,
                           const Door& door) noexcept {
    const Transport transport = door.transport;
    AddressCounts::Place place;
    AddressCounts::Place tls_place;
    bool too_many = false;
    if (!door.trusts(peer)) { // whose connections are those of all who are behind it
        place = places_.enter(peer, standing);
        too_many = places_.is_too_many(place, clients_.size());
        if (transport == Transport::tls) {
            tls_place = tls_places_.enter(peer, standing);
            too_many = too_many || tls_places_.is_too_many(tls_place, over_tls_);
        }
    }
    if (too_many) {
        refuse(socket, Counter::tcp_refused_address);
        return nullptr;
    }
    make_way(transport);
    if (full(transport)) {
        refuse(socket, Counter::tcp_refused);
        return nullptr;
    }
    TcpClient* client = clients_.create(*this, std::move(socket), peer, standing, door,
                                        std::move(place), std::move(tls_place));
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
    over_tls_ += transport == Transport::tls ? 1 : 0;
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
        hear_refusal(client);
        close(client); // reset: nobody is there to be answered (C12)
        return;
    }
    if (client.waiting) {
        set_events(client); // once is enough: epoll has places for others
    } else {
        wait(client);
    }
}

/// Who refuses our certificate says so and goes, often in one packet: what it said is still to be
/// read (E29). Nothing of it costs more than to decrypt it.
void TcpFront::hear_refusal(TcpClient& client) noexcept {
    if (client.shaking() && client.tls != nullptr && client.tls->stream.greeted()) {
        static_cast<void>(read(client));
    }
}

/// Has the client visited when its turn comes.
void TcpFront::wait(TcpClient& client) noexcept {
    if (client.waiting) {
        return;
    }
    client.waiting = true;
    if (!client.over_tls() || client.tls != nullptr || !client.announced) {
        const bool many = client.place && client.place.count() > few_connections;
        (many ? crowd_ : waiting_).push_back(clients_.handle_of(&client));
    } else {
        get_into_line(client);
    }
}

bool TcpFront::someone_waits() const noexcept {
    return !waiting_.empty() || !crowd_.empty();
}

/// The line that is served next, which is not empty: where somebody waits in both they take turns,
/// so that the part of a source does not grow with its connections.
std::deque<Handle>& TcpFront::next_line() noexcept {
    if (waiting_.empty() || crowd_.empty()) {
        return waiting_.empty() ? crowd_ : waiting_;
    }
    crowd_next_ = !crowd_next_;
    return crowd_next_ ? crowd_ : waiting_;
}

void TcpFront::serve() noexcept {
    while (someone_waits() && !turn_.streams.spent()) {
        std::deque<Handle>& line = next_line();
        TcpClient* client = clients_.find(line.front());
        line.pop_front();
        if (client != nullptr) {
            client->waiting = false;
            visit(*client);
        }
    }
    seat_arrivals(); // after those who have been let in
    behind_ = someone_waits() || may_seat();
}

/// Ends the connections of who was blocked since the last look (limits 22).
void TcpFront::close_blocked() noexcept {
    const std::uint32_t version = gate_.blocked_version();
    if (std::exchange(blocked_version_, version) != version) {
        clients_.for_each([this](TcpClient& client) {
            if (!client.closed && gate_.blocks(client.peer)) {
                close(client, TlsFailure::ended);
            }
        });
    }
}

void TcpFront::expire() noexcept {
    close_blocked();
    Counter why{};
    places_.look();
    tls_places_.look();
    while (TcpClient* client = deadlines_.pop(turn_.now, why)) {
        turn_.counters.add(why);
        part(*client, TlsFailure::timeout);
        places_.look(); // there may be enough again
        tls_places_.look();
    }
    end_slow_handshakes();
    say_farewells();
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
    if (someone_waits() || may_seat()) {
        earliest = turn_.now;
    }
    if (handshakes_.full() && !arriving_.empty()) {
        slow_.soonest(earliest);
    }
    earliest = std::min(earliest, next_farewell());
    if (!farewells_.notices.empty()) {
        earliest = std::min(earliest, farewells_.notices.front().until);
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
    begin_farewells();
    clients_.for_each([this](TcpClient& client) { mark_dirty(client); });
}

/// What the next worker has to know of a client.
Handed TcpFront::handed(const TcpClient& client) noexcept {
    if (!client.announced) {
        return {.kind = Handed::Kind::newcomer};
    }
    const std::optional<Address> far = far_end(client.socket);
    if (!far || *far == client.peer) {
        return {};
    }
    return {.kind = Handed::Kind::announced, .announced = client.peer};
}

/// The client has all its answers and this worker is done with it.
void TcpFront::leave(TcpClient& client) noexcept {
    if (client.ended || !to_successor_ || !client.door.can_hand_over()) {
        part(client, TlsFailure::ended);
        return;
    }
    handover_full_ = handover_full_ ||
                     !hand_over(handover_, client.socket.get(), client.in.view(), handed(client));
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
    turn_away(client);
}

/// `if_shaking`: what it counts as where a TLS handshake has come to nothing by that.
void TcpFront::close(TcpClient& client, TlsFailure if_shaking) noexcept {
    if (client.closed) {
        return;
    }
    client.closed = true;
    if (client.over_tls()) {
        --over_tls_;
        if (client.shaking()) {
            turn_.counters.add(if_shaking);
        }
        if (client.tls != nullptr) {
            client.tls->disarm();
            client.tls->seat = {};
        }
    }
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
    turn_.counters.set(Counter::tls_clients, over_tls_);
    turn_.counters.set(Counter::tls_handshaking, handshakes_.taken());
}

} // namespace dotproxy
