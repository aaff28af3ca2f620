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

TcpDeadlines::TcpDeadlines(const Config& config) noexcept
    : first_query_{std::max(first_query_time, Clock::duration{config.timeouts.client_idle})},
      idle_{config.timeouts.client_idle}, writing_{write_time} {}

void TcpDeadlines::set(TcpClient& client, TimePoint now) noexcept {
    if (!client.out.empty()) {
        if (!client.stuck) {
            client.stuck = true;
            watch_reading(client, now);
        }
        return;
    }
    if (client.stuck || client.in_flight > 0) {
        client.stuck = false;
        client.disarm();
    }
    if (client.in_flight == 0 && !client.armed()) {
        (client.greeted ? idle_ : first_query_).arm(client, now);
    }
}

/// Gives the client a write time in which to read.
void TcpDeadlines::watch_reading(TcpClient& client, TimePoint now) noexcept {
    client.read_before = read_by(client);
    writing_.arm(client, now);
}

/// How many octets of answers have arrived at the client in all. What the kernel took from us says
/// little: it holds megabytes, and reports room only when a third of that is free.
std::uint64_t TcpDeadlines::read_by(const TcpClient& client) noexcept {
    int under_way = 0;
    static_cast<void>(::ioctl(client.socket.get(), SIOCOUTQ, &under_way));
    return client.written - static_cast<std::uint64_t>(under_way);
}

TcpClient* TcpDeadlines::pop(TimePoint now, Counter& why) noexcept {
    why = Counter::tcp_timed_out;
    if (TcpClient* client = first_query_.pop(now)) {
        return client;
    }
    if (TcpClient* client = idle_.pop(now)) {
        why = client->in.empty() ? Counter::tcp_idle_closed : Counter::tcp_timed_out;
        return client;
    }
    while (TcpClient* client = writing_.pop(now)) {
        if (read_by(*client) - client->read_before < least_read) {
            return client;
        }
        watch_reading(*client, now);
    }
    return nullptr;
}

TcpClient* TcpDeadlines::pop_idlest() noexcept {
    TcpClient* idlest = first_query_.pop(TimePoint::max()); // has shown no use for it yet
    return idlest != nullptr ? idlest : idle_.pop(TimePoint::max());
}

void TcpDeadlines::soonest(TimePoint& earliest) const noexcept {
    first_query_.soonest(earliest);
    idle_.soonest(earliest);
    writing_.soonest(earliest);
}

} // namespace dotproxy
