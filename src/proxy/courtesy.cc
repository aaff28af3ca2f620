// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "proxy/courtesy.hh"

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// Longer than a turn of a worker that keeps up, too short for a person to notice.
constexpr Clock::duration moment = 2ms;
constexpr unsigned times = 3;
// What is reported this soon after the return was ready all along.
constexpr Clock::duration at_once = 200us;
// One worker is woken for a datagram or a connection, and at low load the same one again and again.
constexpr std::uint32_t events = EPOLLIN | EPOLLEXCLUSIVE;

} // namespace

Courtesy::Courtesy(Turn& turn, const CounterRegion& all) noexcept
    : turn_{turn}, all_{all}, pause_{moment} {}

bool Courtesy::open(int socket, Watch& watch) {
    doors_.push_back({.socket = socket, .watch = &watch});
    return away_.armed() || turn_.loop.add(socket, events, watch);
}

void Courtesy::close(int socket) noexcept {
    std::erase_if(doors_, [socket](const Door& door) { return door.socket == socket; });
    turn_.loop.remove(socket);
}

bool Courtesy::step_back() noexcept {
    if (away_.armed()) {
        return true; // another socket was ready in the same turn
    }
    if (turn_.counters.get(Counter::upstream_connections) > 0 ||
        all_.sum(Counter::upstream_connections) == 0) {
        return false;
    }
    in_a_row_ = turn_.now - back_since_ < at_once ? in_a_row_ + 1 : 0;
    if (in_a_row_ >= times) {
        return false; // the others do not keep up
    }
    for (const Door& door : doors_) {
        turn_.loop.remove(door.socket);
    }
    pause_.arm(away_, turn_.now);
    return true;
}

void Courtesy::expire() noexcept {
    if (pause_.pop(turn_.now) == nullptr) {
        return;
    }
    back_since_ = turn_.now;
    for (const Door& door : doors_) {
        if (!turn_.loop.add(door.socket, events, *door.watch)) {
            pause_.arm(away_, turn_.now); // out of memory; those that are in stay in
        }
    }
}

} // namespace dotproxy
