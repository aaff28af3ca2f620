// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/connections.hh"

#include <algorithm>

namespace dotproxy {

namespace {

/// Whether an idle connection is of no use to its lane: the last send needs one that has answered
/// nothing yet, not even a probe. A peer that answers at all has an answer left for it.
bool is_spent(const Connection& connection) noexcept {
    return is_single(connection.lane()) && connection.answers() > 0 && connection.in_flight() == 0;
}

/// Whether a connection is for questions of this lane. Those of lane 0 are for all that their
/// upstream is asked; not the other way round, or an upstream further behind would be asked first.
bool serves(const Connection& connection, unsigned lane) noexcept {
    return connection.lane() == lane || (connection.lane() == 0 && !is_side(lane) &&
                                         upstream_of(lane) == connection.endpoint().rank());
}

/// Whether a connection can take a question of this lane now.
bool takes(const Connection& connection, unsigned lane) noexcept {
    return serves(connection, lane) && connection.has_room() &&
           !(is_single(lane) && (connection.in_flight() > 0 || connection.answers() > 0));
}

} // namespace

Connection* Connections::pick(unsigned lane, const Endpoint* endpoint) const noexcept {
    Connection* best = nullptr;
    for (const auto& connection : all_) {
        if (takes(*connection, lane) &&
            (endpoint == nullptr || &connection->endpoint() == endpoint) &&
            (best == nullptr || connection->endpoint().rank() < best->endpoint().rank())) {
            best = connection.get();
        }
    }
    return best;
}

unsigned Connections::best_rank(unsigned lane) const noexcept {
    unsigned best = no_rank;
    for (const auto& connection : all_) {
        if (serves(*connection, lane) && connection->has_room() && !is_spent(*connection)) {
            best = std::min(best, connection->endpoint().rank());
        }
    }
    return best;
}

bool Connections::attempting(unsigned lane, const Endpoint* endpoint) const noexcept {
    return std::any_of(all_.begin(), all_.end(), [&](const auto& connection) {
        return connection->lane() == lane &&
               (is_attempt(connection->state()) || connection->is_on_trial() ||
                connection->is_suspect()) &&
               (endpoint == nullptr || &connection->endpoint() == endpoint);
    });
}

std::size_t Connections::ready(unsigned lane, const Endpoint& endpoint) const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(all_, [&](const auto& connection) {
        return connection->lane() == lane && &connection->endpoint() == &endpoint &&
               connection->state() == Connection::State::ready && !is_spent(*connection);
    }));
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
