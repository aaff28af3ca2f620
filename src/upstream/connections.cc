// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/connections.hh"

#include <algorithm>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// In a side lane a connection that has just answered may be about to be closed, as some servers do
// after each answer: the next question gets time to see it, since it has no more sends to lose.
constexpr Clock::duration side_lane_rest = 10ms;

/// Whether an idle connection is of no use to this question: the last send needs one that has
/// answered nothing yet, not even a probe. A peer that answers at all has an answer left for it.
bool is_spent(const Connection& connection, const Inquiry& inquiry) noexcept {
    return inquiry.has_one_send() && connection.answers() > 0 && connection.in_flight() == 0;
}

/// When a connection can take this inquiry; max() where only an event can tell.
TimePoint free_at(const Connection& connection, const Inquiry& inquiry) noexcept {
    if (connection.lane() != inquiry.lane || !connection.has_room() ||
        is_spent(connection, inquiry) || (inquiry.lane > 0 && connection.in_flight() > 0)) {
        return TimePoint::max();
    }
    const bool rests = inquiry.lane > 0 && connection.answers() > 0;
    return rests ? connection.heard_at() + side_lane_rest : TimePoint::min();
}

} // namespace

Connection* Connections::pick(const Inquiry& inquiry, TimePoint now) const noexcept {
    Connection* best = nullptr;
    for (const auto& connection : all_) {
        if (free_at(*connection, inquiry) <= now &&
            (best == nullptr || connection->endpoint().rank() < best->endpoint().rank())) {
            best = connection.get();
        }
    }
    return best;
}

TimePoint Connections::free_from(const Inquiry& inquiry) const noexcept {
    TimePoint earliest = TimePoint::max();
    for (const auto& connection : all_) {
        earliest = std::min(earliest, free_at(*connection, inquiry));
    }
    return earliest;
}

unsigned Connections::best_rank(unsigned lane, const Inquiry* next) const noexcept {
    unsigned best = no_rank;
    for (const auto& connection : all_) {
        if (connection->lane() == lane && connection->has_room() &&
            !(next != nullptr && is_spent(*connection, *next))) {
            best = std::min(best, connection->endpoint().rank());
        }
    }
    return best;
}

bool Connections::attempting(unsigned lane, const Endpoint* endpoint) const noexcept {
    return std::any_of(all_.begin(), all_.end(), [&](const auto& connection) {
        return connection->lane() == lane && is_attempt(connection->state()) &&
               (endpoint == nullptr || &connection->endpoint() == endpoint);
    });
}

std::size_t Connections::in_flight(unsigned lane) const noexcept {
    std::size_t inquiries = 0;
    for (const auto& connection : all_) {
        if (connection->lane() == lane && connection->state() != Connection::State::closed) {
            inquiries += connection->in_flight();
        }
    }
    return inquiries;
}

void Connections::bury() noexcept {
    std::erase_if(all_, [](const auto& connection) {
        return connection->state() == Connection::State::closed;
    });
}

} // namespace dotproxy
