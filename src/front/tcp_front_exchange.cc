// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpFront: what is read from clients and written to them.

#include "dns/frame.hh"
#include "front/tcp_front.hh"
#include "relay/relay.hh"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

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
        const auto octets = std::span{*turn_.scratch}.first(static_cast<std::size_t>(count));
        if (client.tls != nullptr) {
            unseal(client, octets);
        } else {
            take(client, octets);
        }
    } else if (count == 0 && !client.shaking()) {
        client.ended = true; // whole queries that were held back are still taken
        mark_dirty(client);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(client); // nothing that it asked is due
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
    const bool encrypted = client.transport == Transport::tls;
    turn_.counters.add(Counter::tcp_queries);
    turn_.counters.add(Counter::tls_queries, encrypted ? 1 : 0);
    turn_.streams.charge();
    client.greeted = true;
    ++client.in_flight;
    const Relay::Heard heard = relay_.ask({.front = this,
                                           .connection = clients_.handle_of(&client),
                                           .peer = client.peer,
                                           .asked_at = turn_.now,
                                           .standing = client.standing,
                                           .stream = true,
                                           .verified = true,
                                           .encrypted = encrypted},
                                          message);
    if (heard == Relay::Heard::nothing) {
        --client.in_flight;
    }
    client.nonsense =
        heard == Relay::Heard::question ? 0 : static_cast<std::uint8_t>(client.nonsense + 1);
}

bool TcpFront::may_ask(const TcpClient& client) const noexcept {
    return !client.ended && (!draining_ || stays(client)) && may_take(client);
}

/// Whether queries that were read may be taken; the next generation takes those that are handed
/// over.
bool TcpFront::may_take(const TcpClient& client) const noexcept {
    return !client.closed && !is_handed_over(client) &&
           client.in_flight < turn_.config.limits.queries_per_client &&
           client.unsent() < output_limit;
}

dns::Channel TcpFront::channel(const Client& client, const dns::Asker& /*asker*/) const noexcept {
    const auto idle =
        deadlines_.idle_time(client.encrypted ? Transport::tls : Transport::plain) / 100ms;
    return {.limit = dns::max_message_size,
            .keepalive = static_cast<std::uint16_t>(std::min<decltype(idle)>(idle, 65535)),
            .encrypted = client.encrypted};
}

dns::MutableOctets TcpFront::begin_answer(const Client& client, std::size_t size) noexcept {
    TcpClient* connection = clients_.find(client.connection);
    if (connection == nullptr || connection->closed) {
        turn_.counters.add(Counter::clients_gone);
        return {};
    }
    if (connection->unsent() > client_output_cap) {
        cut(*connection); // it does not read (L29)
        return {};
    }
    if (!make_room(*connection)) {
        return {};
    }
    room_ =
        connection->answers().grow(dns::frame_prefix_size + std::min(size, dns::max_message_size));
    return room_.subspan(dns::frame_prefix_size);
}

void TcpFront::end_answer(const Client& client, std::size_t size) noexcept {
    TcpClient& connection = *clients_.find(client.connection);
    dns::store16(room_, 0, static_cast<std::uint16_t>(size));
    connection.answers().trim(room_.size() - dns::frame_prefix_size - size);
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
    if (client.tls != nullptr && !seal(client)) {
        close(client);
        return;
    }
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
        client.in_flight == 0 && client.out.empty() && (!held || is_handed_over(client));
    if (settled && (client.ended || (draining_ && !stays(client)))) {
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

/// Keeps the sum of what all clients hold.
void TcpFront::account(TcpClient& client) noexcept {
    const std::size_t now = client.in.size() + client.unsent();
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

} // namespace dotproxy
