// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpFront: what is read from clients and written to them.

#include "dns/frame.hh"
#include "front/ends.hh"
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
bool has_query(const TcpClient& client) noexcept {
    if (!client.announced) {
        return false; // it is a part of a header
    }
    return client.wire == Wire::http
               ? client.http != nullptr && client.http->has_request()
               : dns::next_frame(client.in.view()).state != dns::Frame::State::partial;
}

} // namespace

/// Takes what the client has asked already, or else reads once, and writes what it has to get.
void TcpFront::visit(TcpClient& client) noexcept {
    if (client.closed) {
        return;
    }
    turn_.streams.charge();
    if (!client.announced) {
        hear_proxy(client);
        return;
    }
    if (has_query(client)) {
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
    if (client.wire == Wire::http) {
        take_http(client, octets);
        return;
    }
    const bool held = !client.in.empty();
    if (held) {
        client.in.append(octets);
        octets = client.in.view();
    }
    const std::size_t used = take_frames(client, octets);
    if (client.closed) {
        return; // an answer found no room any more; what it held counts no longer
    }
    if (held) {
        client.in.consume(used);
    } else {
        client.in.append(octets.subspan(used));
    }
    taken(client, used > 0);
}

/// Returns how many octets were taken.
std::size_t TcpFront::take_frames(TcpClient& client, dns::Octets octets) noexcept {
    std::size_t used = 0;
    for (unsigned left = questions_a_visit; left > 0; --left) {
        if (!may_take(client) || turn_.streams.spent()) {
            return used;
        }
        const dns::Frame frame = dns::next_frame(octets.subspan(used));
        if (frame.state == dns::Frame::State::partial) {
            return used;
        }
        if (frame.state == dns::Frame::State::complete) {
            used += frame.consumed;
            const Relay::Heard heard = ask(client, asker_of(client), frame.message);
            client.nonsense = heard == Relay::Heard::question
                                  ? 0
                                  : static_cast<std::uint8_t>(client.nonsense + 1);
        } else {
            turn_.counters.add(Counter::dropped);
        }
        if (frame.state == dns::Frame::State::invalid || client.nonsense == most_nonsense) {
            turn_.counters.add(Counter::tcp_nonsense);
            client.ended = true; // the stream is lost (C17); what was asked before is answered
            return octets.size();
        }
    }
    return used;
}

/// After something was taken in, be it a question or a part of one.
void TcpFront::taken(TcpClient& client, bool asked) noexcept {
    client.in.release();
    account(client);
    if (!make_room(client)) {
        return;
    }
    if (asked) {
        client.disarm(); // a whole query starts the idle time anew, a part of one does not (C10)
    }
    mark_dirty(client);
}

/// Who asks on that connection, if it is who has made it.
Client TcpFront::asker_of(const TcpClient& client) noexcept {
    return {.front = this,
            .connection = clients_.handle_of(&client),
            .peer = client.peer,
            .asked_at = turn_.now,
            .standing = client.standing,
            .stream = true,
            .verified = true,
            .encrypted = client.over_tls() || client.wire == Wire::http}; // E24
}

Relay::Heard TcpFront::ask(TcpClient& client, const Client& asker, dns::Octets message) noexcept {
    turn_.counters.add(Counter::tcp_queries);
    turn_.counters.add(Counter::tls_queries, client.over_tls() ? 1 : 0);
    turn_.streams.charge();
    client.greeted = true;
    ++client.in_flight;
    const Relay::Heard heard = relay_.ask(asker, message);
    if (heard == Relay::Heard::nothing) {
        --client.in_flight;
    }
    return heard;
}

bool TcpFront::may_ask(const TcpClient& client) const noexcept {
    return !client.ended && (!draining_ || stays(client)) && may_take(client) &&
           (client.http == nullptr || client.http->wants_input());
}

/// Whether queries that were read may be taken; the next generation takes those that are handed
/// over.
bool TcpFront::may_take(const TcpClient& client) const noexcept {
    return !client.closed && !is_handed_over(client) &&
           client.in_flight < turn_.config.limits.queries_per_client &&
           // What a client over HTTP does not permit yet is bounded by its streams; not to read it
           // for that would be not to read the permission.
           client.writable() < output_limit;
}

dns::Channel TcpFront::channel(const Client& client, const dns::Asker& /*asker*/) const noexcept {
    const auto idle =
        deadlines_.idle_time(client.encrypted ? Transport::tls : Transport::plain) / 100ms;
    dns::Channel channel;
    channel.encrypted = client.encrypted;
    if (client.request == 0) { // over HTTP it means nothing (E21)
        channel.keepalive = static_cast<std::uint16_t>(std::min<decltype(idle)>(idle, 65535));
    }
    return channel;
}

std::optional<Address> TcpFront::asked_address(const Client& client) noexcept {
    const TcpClient* const connection = clients_.find(client.connection);
    if (connection == nullptr || connection->closed || connection->door.announces()) {
        return std::nullopt;
    }
    return near_end(connection->socket);
}

dns::MutableOctets TcpFront::begin_answer(const Client& client, std::size_t size) noexcept {
    TcpClient* connection = clients_.find(client.connection);
    if (connection == nullptr || connection->closed) {
        turn_.counters.add(Counter::clients_gone);
        return {};
    }
    if (connection->wire == Wire::frames && connection->writable() > client_output_cap) {
        cut(*connection); // it does not read (L29)
        return {};
    }
    if (!make_room(*connection)) {
        return {};
    }
    const std::size_t room = dns::frame_prefix_size + std::min(size, dns::max_message_size);
    room_ = connection->wire == Wire::http ? http_room(room) : connection->answers().grow(room);
    return room_.subspan(dns::frame_prefix_size);
}

void TcpFront::end_answer(const Client& client, std::size_t size) noexcept {
    TcpClient* const connection = clients_.find(client.connection);
    if (connection == nullptr) {
        return; // it was there when it got room
    }
    bool sent = true;
    if (connection->wire == Wire::http) {
        sent = respond(*connection, client, room_.subspan(dns::frame_prefix_size, size));
    } else {
        dns::store16(room_, 0, static_cast<std::uint16_t>(size));
        connection->answers().trim(room_.size() - dns::frame_prefix_size - size);
    }
    --connection->in_flight;
    turn_.counters.add(sent ? Counter::tcp_answers : Counter::clients_gone);
    account(*connection);
    mark_dirty(*connection);
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

/// Moves what there is to be written to `out`. false: the session has failed.
bool TcpFront::gather(TcpClient& client) noexcept {
    if (client.http != nullptr) {
        return gather_http(client);
    }
    return client.tls == nullptr || seal(client, client.tls->plain);
}

/// false: the client had to be closed.
bool TcpFront::send(TcpClient& client) noexcept {
    if (client.out.empty()) {
        return true;
    }
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
        return false;
    }
    return true;
}

void TcpFront::write(TcpClient& client) noexcept {
    bool more = true;
    while (more) {
        if (!gather(client)) {
            close(client);
            return;
        }
        more = client.http != nullptr && !client.out.empty();
        if (!send(client)) {
            return;
        }
        more = more && client.out.empty(); // what had no room before it
    }
    const bool held = has_query(client);
    const bool settled = client.in_flight == 0 && client.writable() == 0 &&
                         client.withheld() == 0 && (!held || is_handed_over(client));
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
    const std::size_t now = client.holds();
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
