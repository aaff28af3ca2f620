// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/tcp_deadlines.hh"

#include <algorithm>
#include <linux/sockios.h>
#include <sys/ioctl.h>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration announcement_time = 1s; // E20, as the next
constexpr Clock::duration handshake_time = 5s;
constexpr Clock::duration first_query_time = 5s;
// Longer than any of the usual proxies keeps a connection that it does not use (Caddy: 2 minutes):
// what it sends while we close is lost, since it may not repeat a POST.
constexpr Clock::duration proxy_idle_time = 150s;
// A client that has answers to read takes at least so many octets in each write time, or it is cut:
// 13 kbit/s. Slower links than that carry no TCP for DNS, and who reads single octets is no client.
constexpr Clock::duration write_time = 10s;
constexpr std::uint64_t least_read = 16384;

} // namespace

TcpDeadlines::TcpDeadlines(const Config& config, const TcpPlaces& places,
                           const TcpPlaces& tls_places) noexcept
    : places_{places}, tls_places_{tls_places}, announcing_{announcement_time},
      announcing_tls_{announcement_time}, shaking_{handshake_time},
      plain_{.first_query =
                 Queue{std::max(first_query_time, Clock::duration{config.timeouts.client_idle})},
             .idle = Queue{config.timeouts.client_idle}},
      secured_{.first_query = Queue{first_query_time}, .idle = Queue{config.timeouts.tls_idle}},
      proxies_{.first_query = Queue{proxy_idle_time}, .idle = Queue{proxy_idle_time}},
      reading_{write_time} {}

void TcpDeadlines::set(TcpClient& client, TimePoint now) noexcept {
    const bool stuck = !client.out.empty() || client.withheld() > 0; // E47
    if (stuck ? !client.stuck : !client.reading.armed() && client.written > client.read_before) {
        // What the kernel takes is watched as well: it may be all that is asked for in an hour.
        watch_reading(client, stuck ? read_by(client) : client.read_before, now);
    }
    client.stuck = stuck;
    if (!client.announced) {
        if (!client.armed()) {
            (client.over_tls() ? announcing_tls_ : announcing_).arm(client, now);
        }
    } else if (client.shaking()) {
        if (!client.armed()) { // whatever is said or left unread meanwhile
            shaking_.arm(client, now);
        }
    } else if (stuck || client.in_flight > 0) {
        client.disarm();
    } else if (!client.armed()) {
        Patience& patience = patience_with(client);
        (client.greeted ? patience.idle : patience.first_query).arm(client, now);
    }
}

/// Gives the client, which has read so much, a write time in which to read what was written.
void TcpDeadlines::watch_reading(TcpClient& client, std::uint64_t read, TimePoint now) noexcept {
    client.read_before = read;
    client.to_read = client.written;
    client.permitted_before = client.http != nullptr ? client.http->permitted() : 0;
    client.to_permit = client.permitted_before + client.withheld();
    reading_.arm(client.reading, now);
}

/// How many octets of answers have arrived at the client in all. What the kernel took from us says
/// little: it holds megabytes, and reports room only when a third of that is free.
std::uint64_t TcpDeadlines::read_by(const TcpClient& client) noexcept {
    return client.written - std::min(client.written, under_way(client));
}

std::uint64_t TcpDeadlines::under_way(const TcpClient& client) noexcept {
    int octets = 0;
    static_cast<void>(::ioctl(client.socket.get(), SIOCOUTQ, &octets));
    return static_cast<std::uint64_t>(octets);
}

void TcpDeadlines::adopt(TcpClient& client) noexcept {
    client.written = under_way(client);
}

Clock::duration TcpDeadlines::kept(Clock::duration most, Transport transport) const noexcept {
    const Clock::duration time = places_.kept(most);
    return transport == Transport::tls ? std::min(time, tls_places_.kept(most)) : time;
}

Clock::duration TcpDeadlines::idle_time(Transport transport) const noexcept {
    return kept((transport == Transport::tls ? secured_ : plain_).idle.duration(), transport);
}

TcpClient* TcpDeadlines::pop(Queue& queue, Transport transport, TimePoint now) const noexcept {
    // Its time may end earlier than was thought when it began.
    return queue.pop(now + (queue.duration() - kept(queue.duration(), transport)));
}

TcpClient* TcpDeadlines::pop(TimePoint now, Counter& why) noexcept {
    why = Counter::tcp_timed_out;
    for (Queue* queue : {&announcing_, &announcing_tls_}) {
        if (TcpClient* client = queue->pop(now)) {
            return client;
        }
    }
    if (TcpClient* client = pop(shaking_, Transport::tls, now)) {
        return client;
    }
    for (Patience* const each : {&plain_, &proxies_, &secured_}) {
        Patience& patience = *each;
        const auto transport = each == &secured_ ? Transport::tls : Transport::plain;
        if (TcpClient* client = pop(patience.first_query, transport, now)) {
            return client;
        }
        if (TcpClient* client = pop(patience.idle, transport, now)) {
            why = client->in.empty() ? Counter::tcp_idle_closed : Counter::tcp_timed_out;
            return client;
        }
    }
    return nullptr;
}

TcpClient* TcpDeadlines::pop_deaf(TimePoint now) noexcept {
    while (const TcpClient::Reading* reading = reading_.pop(now)) {
        TcpClient& client = reading->client;
        const std::uint64_t read = read_by(client);
        if ((read < client.to_read && read - client.read_before < least_read) ||
            permits_too_little(client)) {
            return &client;
        }
        client.read_before = read;
        if (read < client.written || client.stuck) {
            watch_reading(client, read, now);
        }
    }
    return nullptr;
}

/// Whether it keeps answers waiting, whatever else it reads, such as that its pings arrived.
bool TcpDeadlines::permits_too_little(const TcpClient& client) noexcept {
    if (client.http == nullptr || client.withheld() == 0) {
        return false;
    }
    const std::uint64_t permitted = client.http->permitted();
    return permitted < client.to_permit && permitted - client.permitted_before < least_read;
}

TcpClient* TcpDeadlines::pop_idlest() noexcept {
    // Who has shown no use for it yet comes first, and who comes back at least cost.
    for (Queue* queue :
         {&announcing_, &announcing_tls_, &shaking_, &plain_.first_query, &secured_.first_query,
          &plain_.idle, &secured_.idle, &proxies_.first_query}) {
        if (TcpClient* client = queue->pop(TimePoint::max())) {
            return client;
        }
    }
    return proxies_.idle.pop(TimePoint::max()); // each is many clients'
}

TcpClient* TcpDeadlines::pop_idlest_over_tls() noexcept {
    for (Queue* queue : {&announcing_tls_, &shaking_, &secured_.first_query}) {
        if (TcpClient* client = queue->pop(TimePoint::max())) {
            return client;
        }
    }
    return secured_.idle.pop(TimePoint::max());
}

void TcpDeadlines::soonest(const Queue& queue, Transport transport,
                           TimePoint& earliest) const noexcept {
    TimePoint due = TimePoint::max();
    queue.soonest(due);
    if (due != TimePoint::max()) {
        earliest = std::min(earliest, due - (queue.duration() - kept(queue.duration(), transport)));
    }
}

void TcpDeadlines::soonest(TimePoint& earliest) const noexcept {
    announcing_.soonest(earliest);
    announcing_tls_.soonest(earliest);
    soonest(shaking_, Transport::tls, earliest);
    soonest(plain_.first_query, Transport::plain, earliest);
    soonest(plain_.idle, Transport::plain, earliest);
    soonest(proxies_.first_query, Transport::plain, earliest);
    soonest(proxies_.idle, Transport::plain, earliest);
    soonest(secured_.first_query, Transport::tls, earliest);
    soonest(secured_.idle, Transport::tls, earliest);
    reading_.soonest(earliest);
}

} // namespace dotproxy
