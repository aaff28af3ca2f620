// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/tcp_front.hh"

#include "dns/frame.hh"
#include "relay/gate.hh"
#include "relay/relay.hh"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <sys/socket.h>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration leave_again = 10ms;
constexpr std::size_t output_limit = 65536; // a client with more than this unread is not read
constexpr std::size_t read_size = 16384;
// Then others come first, so that one who never stops does not have a turn for itself. Each visit
// ends with a send: with 32 a question costs half as much again.
constexpr unsigned questions_a_visit = 256;
// A client that sent so many frames in a row that were no question is none.
constexpr std::uint8_t most_nonsense = 10;
// What one client that does not read, and all clients together, can make a worker hold.
constexpr std::size_t client_output_cap = 1U << 20U;
constexpr std::size_t held_cap = 64U << 20U;

/// Whether something can be taken from what was read: a whole query, or what can never be one.
bool has_query(const Buffer& in) noexcept {
    return dns::next_frame(in.view()).state != dns::Frame::State::partial;
}

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

/// Takes what the client has asked already, or else reads once, and writes what it has to get.
void TcpFront::visit(TcpClient& client) noexcept {
    if (client.closed) {
        return;
    }
    turn_.streams.charge();
    if (has_query(client.in)) {
        take(client, {});
    } else if (may_ask(client) && read(client) && may_ask(client)) {
        wait(client);
    }
    if (!client.closed) {
        write(client);
    }
}

/// true: there may be more to read.
bool TcpFront::read(TcpClient& client) noexcept {
    const ssize_t count = ::recv(client.socket.get(), turn_.scratch->data(), read_size, 0);
    if (count > 0) {
        take(client, std::span{*turn_.scratch}.first(static_cast<std::size_t>(count)));
    } else if (count == 0) {
        client.ended = true; // whole queries that were held back are still taken
        mark_dirty(client);
    } else if (errno != EAGAIN && errno != EINTR) {
        close(client);
    }
    return count == static_cast<ssize_t>(read_size);
}

/// Takes the whole queries from what is held and `octets`, as far as the client may ask more and
/// the turn has time for them.
void TcpFront::take(TcpClient& client, dns::Octets octets) noexcept {
    const bool held = !client.in.empty();
    if (held) {
        client.in.append(octets);
        octets = client.in.view();
    }
    std::size_t used = 0;
    bool partial = false;
    unsigned left = questions_a_visit;
    while (!partial && left > 0 && may_take(client) && !turn_.streams.spent()) {
        const dns::Frame frame = dns::next_frame(octets.subspan(used));
        switch (frame.state) {
        case dns::Frame::State::invalid:
            turn_.counters.add(Counter::dropped);
            turn_.counters.add(Counter::tcp_nonsense);
            client.ended = true; // the stream is lost (C17); what was asked before is answered
            used = octets.size();
            break;
        case dns::Frame::State::partial:
            partial = true;
            break;
        case dns::Frame::State::complete:
            used += frame.consumed;
            --left;
            take_one(client, frame.message);
            if (client.nonsense == most_nonsense) {
                turn_.counters.add(Counter::tcp_nonsense);
                client.ended = true; // as above
                used = octets.size();
            }
            break;
        }
    }
    if (client.closed) {
        return; // an answer found no room any more; what it held counts no longer
    }
    if (held) {
        client.in.consume(used);
    } else {
        client.in.append(octets.subspan(used));
    }
    client.in.release();
    account(client);
    if (!make_room(client)) {
        return;
    }
    if (used > 0) {
        client.disarm(); // a whole query starts the idle time anew, a part of one does not (C10)
    }
    mark_dirty(client);
}

void TcpFront::take_one(TcpClient& client, dns::Octets message) noexcept {
    turn_.counters.add(Counter::tcp_queries);
    turn_.streams.charge();
    client.greeted = true;
    ++client.in_flight;
    const Relay::Heard heard = relay_.ask({.front = this,
                                           .connection = clients_.handle_of(&client),
                                           .peer = client.peer,
                                           .asked_at = turn_.now,
                                           .standing = client.standing,
                                           .stream = true,
                                           .verified = true},
                                          message);
    if (heard == Relay::Heard::nothing) {
        --client.in_flight;
    }
    client.nonsense =
        heard == Relay::Heard::question ? 0 : static_cast<std::uint8_t>(client.nonsense + 1);
}

bool TcpFront::may_ask(const TcpClient& client) const noexcept {
    return !client.ended && !draining_ && may_take(client);
}

/// Whether queries that were read may be taken; the next generation takes those that are handed
/// over.
bool TcpFront::may_take(const TcpClient& client) const noexcept {
    return !client.closed && !(draining_ && to_successor_) &&
           client.in_flight < turn_.config.limits.queries_per_client &&
           client.out.size() < output_limit;
}

dns::Channel TcpFront::channel(const dns::Asker& /*asker*/) const noexcept {
    const auto idle = deadlines_.idle_time() / 100ms;
    return {.limit = dns::max_message_size,
            .keepalive = static_cast<std::uint16_t>(std::min<decltype(idle)>(idle, 65535))};
}

dns::MutableOctets TcpFront::begin_answer(const Client& client, std::size_t size) noexcept {
    TcpClient* connection = clients_.find(client.connection);
    if (connection == nullptr || connection->closed) {
        turn_.counters.add(Counter::clients_gone);
        return {};
    }
    if (connection->out.size() > client_output_cap) {
        cut(*connection); // it does not read (L29)
        return {};
    }
    if (!make_room(*connection)) {
        return {};
    }
    room_ = connection->out.grow(dns::frame_prefix_size + std::min(size, dns::max_message_size));
    return room_.subspan(dns::frame_prefix_size);
}

void TcpFront::end_answer(const Client& client, std::size_t size) noexcept {
    TcpClient& connection = *clients_.find(client.connection);
    dns::store16(room_, 0, static_cast<std::uint16_t>(size));
    connection.out.trim(room_.size() - dns::frame_prefix_size - size);
    --connection.in_flight;
    turn_.counters.add(Counter::tcp_answers);
    account(connection);
    mark_dirty(connection);
}

void TcpFront::mark_dirty(TcpClient& client) noexcept {
    if (!client.dirty && !client.closed) {
        client.dirty = true;
        dirty_.push_back(&client);
    }
}

void TcpFront::flush() noexcept {
    for (TcpClient* client : dirty_) {
        client->dirty = false;
        if (!client->closed) {
            write(*client);
        }
    }
    dirty_.clear();
}

void TcpFront::write(TcpClient& client) noexcept {
    if (!client.out.empty()) {
        const auto octets = client.out.view();
        const ssize_t count =
            ::send(client.socket.get(), octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count > 0) {
            client.out.consume(static_cast<std::size_t>(count));
            client.out.release();
            client.written += static_cast<std::uint64_t>(count);
            account(client);
        } else if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
            close(client);
            return;
        }
    }
    const bool held = has_query(client.in);
    const bool settled =
        client.in_flight == 0 && client.out.empty() && (!held || (draining_ && to_successor_));
    if (settled && (client.ended || draining_)) {
        leave(client);
        return;
    }
    if (held && may_take(client)) {
        wait(client); // read before and held back; others come first
    }
    deadlines_.set(client, turn_.now);
    set_events(client);
}

void TcpFront::set_events(TcpClient& client) noexcept {
    const std::uint32_t wanted = client.waiting
                                     ? 0U // it will be looked at anyhow
                                     : (may_ask(client) ? EPOLLIN | EPOLLRDHUP : 0U) |
                                           (client.out.empty() ? 0U : std::uint32_t{EPOLLOUT});
    if (wanted != client.events) {
        client.events = wanted;
        client.watching.modify(wanted);
    }
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

/// Keeps the sum of what all clients hold.
void TcpFront::account(TcpClient& client) noexcept {
    const std::size_t now = client.in.size() + client.out.size();
    held_ += now - client.held;
    client.held = now;
}

/// Where all clients hold more than they may, closes those that hold most, not who comes next
/// (L29). false: `client` was among them. Of the largest, all go that hold half as much or more,
/// until an eighth is free: each look at all clients pays for many answers.
bool TcpFront::make_room(TcpClient& client) noexcept {
    if (held_ <= held_cap) {
        return true;
    }
    std::size_t most = 0;
    clients_.for_each([&](const TcpClient& one) { most = std::max(most, one.held); });
    clients_.for_each([&](TcpClient& one) {
        if (held_ > held_cap - held_cap / 8 && one.held >= most / 2 && !one.closed) {
            cut(one);
        }
    });
    return !client.closed;
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
