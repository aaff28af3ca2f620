// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/tcp_deadlines.hh"

#include <algorithm>
#include <linux/sockios.h>
#include <sys/ioctl.h>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration first_query_time = 5s;
// A client that has answers to read takes at least so many octets in each write time, or it is cut:
// 13 kbit/s. Slower links than that carry no TCP for DNS, and who reads single octets is no client.
constexpr Clock::duration write_time = 10s;
constexpr std::uint64_t least_read = 16384;

} // namespace

TcpDeadlines::TcpDeadlines(const Config& config, const TcpPlaces& places) noexcept
    : places_{places}, first_query_{std::max(first_query_time,
                                             Clock::duration{config.timeouts.client_idle})},
      idle_{config.timeouts.client_idle}, reading_{write_time} {}

void TcpDeadlines::set(TcpClient& client, TimePoint now) noexcept {
    const bool stuck = !client.out.empty();
    if (stuck ? !client.stuck : !client.reading.armed() && client.written > client.read_before) {
        // What the kernel takes is watched as well: it may be all that is asked for in an hour.
        watch_reading(client, stuck ? read_by(client) : client.read_before, now);
    }
    client.stuck = stuck;
    if (stuck || client.in_flight > 0) {
        client.disarm();
    } else if (!client.armed()) {
        (client.greeted ? idle_ : first_query_).arm(client, now);
    }
}

/// Gives the client, which has read so much, a write time in which to read what was written.
void TcpDeadlines::watch_reading(TcpClient& client, std::uint64_t read, TimePoint now) noexcept {
    client.read_before = read;
    client.to_read = client.written;
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

/// By how much the time in a queue ends earlier than was thought when it began.
Clock::duration TcpDeadlines::shortened_by(const DeadlineQueue<TcpClient>& queue) const noexcept {
    return queue.duration() - places_.kept(queue.duration());
}

Clock::duration TcpDeadlines::idle_time() const noexcept {
    return places_.kept(idle_.duration());
}

TcpClient* TcpDeadlines::pop(TimePoint now, Counter& why) noexcept {
    why = Counter::tcp_timed_out;
    if (TcpClient* client = first_query_.pop(now + shortened_by(first_query_))) {
        return client;
    }
    TcpClient* client = idle_.pop(now + shortened_by(idle_));
    if (client != nullptr && client->in.empty()) {
        why = Counter::tcp_idle_closed;
    }
    return client;
}

TcpClient* TcpDeadlines::pop_deaf(TimePoint now) noexcept {
    while (const TcpClient::Reading* reading = reading_.pop(now)) {
        TcpClient& client = reading->client;
        const std::uint64_t read = read_by(client);
        if (read < client.to_read && read - client.read_before < least_read) {
            return &client;
        }
        client.read_before = read;
        if (read < client.written || client.stuck) {
            watch_reading(client, read, now);
        }
    }
    return nullptr;
}

TcpClient* TcpDeadlines::pop_idlest() noexcept {
    TcpClient* idlest = first_query_.pop(TimePoint::max()); // has shown no use for it yet
    return idlest != nullptr ? idlest : idle_.pop(TimePoint::max());
}

void TcpDeadlines::soonest(TimePoint& earliest) const noexcept {
    for (const auto* queue : {&first_query_, &idle_}) {
        TimePoint due = TimePoint::max();
        queue->soonest(due);
        if (due != TimePoint::max()) {
            earliest = std::min(earliest, due - shortened_by(*queue));
        }
    }
    reading_.soonest(earliest);
}

} // namespace dotproxy
