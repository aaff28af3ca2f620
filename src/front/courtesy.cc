// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/courtesy.hh"

#include <algorithm>
#include <poll.h>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// Longer than a turn of a worker that keeps up, too short for a person to notice.
constexpr Clock::duration moment = 2ms;
constexpr unsigned times = 3;
// One worker is woken for a datagram or a connection, and at low load the same one again and again.
constexpr std::uint32_t events = EPOLLIN | EPOLLEXCLUSIVE;

} // namespace

Courtesy::Courtesy(Turn& turn, const CounterLease& all) noexcept
    : turn_{turn}, all_{all}, pause_{moment} {}

bool Courtesy::open(int socket, Watch& watch) {
    doors_.push_back({.socket = socket, .watch = &watch, .watching = {}});
    if (away_.armed()) {
        return true;
    }
    doors_.back().watching = turn_.loop.add(socket, events, watch);
    return static_cast<bool>(doors_.back().watching);
}

void Courtesy::close(int socket) noexcept {
    std::erase_if(doors_, [socket](const Door& door) { return door.socket == socket; });
}

bool Courtesy::step_back() noexcept {
    if (away_.armed()) {
        return true; // another socket was ready in the same turn
    }
    if (willing_ || !another_is_warmer()) {
        return false;
    }
    for (Door& door : doors_) {
        door.watching.end();
    }
    in_a_row_ = 0;
    pause_.arm(away_, turn_.now);
    return true;
}

void Courtesy::expire() noexcept {
    willing_ = false; // that was for the turn that ends
    if (pause_.pop(turn_.now) == nullptr) {
        return;
    }
    if (another_is_warmer() && anybody_there() && ++in_a_row_ < times) {
        pause_.arm(away_, turn_.now);
        return;
    }
    willing_ = in_a_row_ >= times;
    for (Door& door : doors_) {
        if (!door.watching) {
            door.watching = turn_.loop.add(door.socket, events, *door.watch);
        }
        if (!door.watching && !away_.armed()) {
            pause_.arm(away_, turn_.now); // out of memory: once more in a moment
        }
    }
}

bool Courtesy::another_is_warmer() const noexcept {
    return turn_.counters.get(Counter::upstream_connections) == 0 &&
           all_.sum(Counter::upstream_connections) > 0;
}

/// Whether something waits at a socket now.
bool Courtesy::anybody_there() const noexcept {
    return std::any_of(doors_.begin(), doors_.end(), [](const Door& door) {
        pollfd polled{.fd = door.socket, .events = POLLIN, .revents = 0};
        return ::poll(&polled, 1, 0) > 0;
    });
}

} // namespace dotproxy
