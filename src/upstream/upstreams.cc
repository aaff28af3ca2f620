// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/upstreams.hh"

#include <algorithm>
#include <memory>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// How long one attempt has for itself before the next one joins the race (RFC 8305, section 5).
constexpr Clock::duration stagger = 250ms;

// Where they are full, a lane has so many connections to an endpoint at the most (E82).
constexpr std::size_t most_connections = 4;

/// Whether a lane's questions may go to an endpoint.
bool asks(unsigned lane, const Endpoint& endpoint) noexcept {
    return upstream_of(lane).value_or(endpoint.rank()) == endpoint.rank();
}

} // namespace

Upstreams::Upstreams(Turn& turn, unsigned group, const tls::ClientContexts& contexts,
                     const CounterLease& counts, Inquirer& inquirer, HealthCheck::Timing timing)
    : turn_{turn}, endpoints_{turn, group, contexts, counts},
      health_check_{turn, endpoints_, counts, timing}, inquirer_{inquirer}, failover_{turn,
                                                                                      endpoints_},
      lanes_(first_upstream_lane + 2 * failover_.upstreams()), checks_{Patience::half(turn.config)},
      waits_{std::min(Patience::silence(turn.config), Patience::half(turn.config))},
      random_{std::random_device{}()} {}

void Upstreams::submit(Inquiry& inquiry) noexcept {
    inquiry.asked_at = turn_.now;
    if (const auto rank = failover_.preferred(inquiry)) {
        inquiry.lane = upstream_lane(*rank);
    }
    enter_lane(inquiry);
}

/// Sends an inquiry, or has it wait in its lane.
void Upstreams::enter_lane(Inquiry& inquiry) noexcept {
    if (Connection* connection = connections_.pick(inquiry.lane)) {
        send(*connection, inquiry);
        return;
    }
    lanes_.push_back(inquiry);
    if (upstream_of(inquiry.lane)) {
        waits_.arm(inquiry, turn_.now);
    }
    if (!connections_.attempting(inquiry.lane)) {
        Lane& lane = lanes_[inquiry.lane];
        lane.next_attempt = std::min(lane.next_attempt, turn_.now + shortest_pause);
    }
}

void Upstreams::abandon(Inquiry& inquiry) noexcept {
    if (inquiry.queued) {
        lanes_.remove(inquiry);
    }
    inquiry.disarm();
    for (Inquiry::Place& place : inquiry.places) {
        if (place.connection != nullptr) {
            place.connection->forget(place.slot);
            place = {};
        }
    }
}

void Upstreams::send(Connection& connection, Inquiry& inquiry) noexcept {
    ++inquiry.sends;
    inquiry.overdue = false;
    Failover::note_send(inquiry, connection.endpoint().rank());
    if (inquiry.sends > 1) {
        connection.endpoint().counts().add(UpstreamCounter::resent);
    }
    connection.send(inquiry);
    checks_.arm(inquiry, turn_.now);
}

void Upstreams::hand_out(unsigned lane) noexcept {
    while (Inquiry* inquiry = lanes_[lane].first) {
        Connection* connection = connections_.pick(lane);
        if (connection == nullptr) {
            return;
        }
        lanes_.remove(*inquiry);
        send(*connection, *inquiry);
    }
}

/// Starts the next attempt in a lane if it is time for one. true: it did.
bool Upstreams::seek(unsigned lane) noexcept {
    if (turn_.now < lanes_[lane].next_attempt) {
        return false;
    }
    Endpoint* endpoint =
        endpoints_.next(connections_.best_rank(lane),
                        [&](const Endpoint& candidate) { return !may_connect(candidate, lane); });
    if (endpoint == nullptr) {
        return false;
    }
    lanes_[lane].next_attempt = turn_.now + stagger;
    connect(*endpoint, lane);
    return true;
}

/// Whether another connection to an endpoint is of use to a lane: no race is on, and there are not
/// too many that are full (E82).
bool Upstreams::may_connect(const Endpoint& endpoint, unsigned lane) const noexcept {
    const std::size_t most = endpoint.most_in_flight() < Slots::capacity ? 1 : most_connections;
    return asks(lane, endpoint) && !connections_.attempting(lane, &endpoint) &&
           connections_.ready(lane, endpoint) < most;
}

void Upstreams::connect(Endpoint& endpoint, unsigned lane) noexcept {
    lanes_[lane].spare_wanted = false;
    endpoint.note_connect(turn_.now);
    Connection& connection = connections_.add(std::make_unique<Connection>(
        turn_, *this, endpoint, lane, static_cast<std::uint16_t>(random_())));
    connection.start();
}

/// Nothing is ready in this lane and nothing is being tried: fails what waits, if it would wait in
/// vain; else it waits for the next attempt.
void Upstreams::give_up(unsigned lane) noexcept {
    const bool only_one = upstream_of(lane).has_value();
    if (only_one ? turn_.now < lanes_[lane].next_attempt : !endpoints_.hopeless()) {
        return;
    }
    Inquiry* inquiry = lanes_[lane].first;
    while (inquiry != nullptr) {
        Inquiry* next = inquiry->queue_next;
        if (only_one) {
            leave_lane(*inquiry);
        } else if (!inquiry->in_flight()) {
            fail(*inquiry, excuse());
        }
        inquiry = next;
    }
}

/// The one upstream of its lane cannot be had: whoever has no answer yet goes to any other.
void Upstreams::leave_lane(Inquiry& inquiry) noexcept {
    if (inquiry.held != nullptr) {
        take(failover_.after_waiting(inquiry, *upstream_of(inquiry.lane)), inquiry);
        return;
    }
    abandon(inquiry);
    inquiry.lane = 0;
    enter_lane(inquiry);
}

void Upstreams::fail(Inquiry& inquiry, const NoAnswer& why) noexcept {
    if (!settle(inquiry, inquirer_)) {
        inquirer_.failed(inquiry, why);
    }
}

void Upstreams::on_response(Connection& connection, Inquiry& inquiry, const Reply& reply) noexcept {
    if (!go_on(connection, inquiry, reply)) {
        inquirer_.answered(inquiry, reply.message, reply.verdict, reply.response);
    }
}

/// Goes on with an inquiry where a reply is not its answer yet. false: there is no more to be done.
bool Upstreams::go_on(Connection& connection, Inquiry& inquiry, const Reply& reply) noexcept {
    Endpoint& endpoint = connection.endpoint();
    const Failover::Step step = failover_.judge(inquiry, endpoint.rank(), reply);
    if (step.kind == Failover::Step::Kind::pass_on) {
        return false;
    }
    if (step.kind == Failover::Step::Kind::ask && step.rank != endpoint.rank()) {
        endpoints_.failed_over(endpoint);
    }
    take(step, inquiry);
    return true;
}

/// Goes on with an inquiry that holds a failure.
void Upstreams::take(const Failover::Step& step, Inquiry& inquiry) noexcept {
    if (step.kind == Failover::Step::Kind::ask) {
        abandon(inquiry); // from here on no other answer counts
        inquiry.lane = upstream_lane(step.rank, is_side(inquiry.lane));
        enter_lane(inquiry);
    } else if (step.kind == Failover::Step::Kind::settle) {
        static_cast<void>(settle(inquiry, inquirer_));
    }
}

void Upstreams::expire() noexcept {
    while (Inquiry* inquiry = checks_.pop(turn_.now)) {
        overdue(*inquiry);
    }
    while (Inquiry* inquiry = waits_.pop(turn_.now)) {
        leave_lane(*inquiry);
    }
    for (const auto& connection : connections_) { // none is added meanwhile
        if (connection->deadline() <= turn_.now) {
            connection->on_deadline();
        }
    }
    health_check_.expire();
    health_check_.report();
}

void Upstreams::mark_dirty(Connection& connection) noexcept {
    if (std::find(dirty_.begin(), dirty_.end(), &connection) == dirty_.end()) {
        dirty_.push_back(&connection);
    }
}

void Upstreams::on_ready(Connection& connection) noexcept {
    // The race is over for all that are not preferred to this one.
    connection.endpoint().set_good_at(turn_.now);
    for (const auto& other : connections_) {
        if (other.get() == &connection || other->lane() != connection.lane()) {
            continue;
        }
        if (is_attempt(other->state())) {
            if (other->endpoint().rank() >= connection.endpoint().rank()) {
                other->close();
            }
        } else if (is_side(connection.lane()) && other->in_flight() == 0) {
            other->retire(); // a side lane has one connection
        }
    }
    if (connection.lane() == 0) {
        take_overdue(connection);
    }
    if (!connections_.attempting(connection.lane())) {
        // Should this one take no more questions soon, the next attempt has nothing to wait for.
        lanes_[connection.lane()].next_attempt = turn_.now;
    }
}

void Upstreams::on_answer(Connection& connection) noexcept {
    if (failing()) { // it works again: nobody rests any more
        for (Lane& lane : lanes_) {
            lane.next_attempt = std::min(lane.next_attempt, turn_.now);
        }
    }
    if (endpoints_.answered(connection.endpoint())) {
        inquirer_.recovered();
    }
}

void Upstreams::soonest(TimePoint& earliest) noexcept {
    health_check_.soonest(earliest);
    checks_.soonest(earliest);
    waits_.soonest(earliest);
    for (const auto& connection : connections_) {
        earliest = std::min(earliest, connection->deadline());
    }
    if (lanes_.queued() == 0) {
        return;
    }
    for (unsigned lane = 0; lane < lanes_.size(); ++lane) {
        if (lanes_[lane].first == nullptr) {
            continue;
        }
        if (connections_.pick(lane) != nullptr) { // it came back after the queues were handed out
            earliest = turn_.now;
            return;
        }
        const unsigned ready = connections_.best_rank(lane);
        for (const auto& endpoint : endpoints_) {
            if (endpoint->rank() >= ready || !asks(lane, *endpoint)) {
                continue;
            }
            if (may_connect(*endpoint, lane)) {
                earliest =
                    std::min(earliest, std::max(endpoint->retry_at(), lanes_[lane].next_attempt));
            } else if (endpoint->rests_until() > turn_.now) { // and its connections with it
                earliest = std::min(earliest, endpoint->rests_until());
            }
        }
    }
}

void Upstreams::flush() noexcept {
    // Lane 0 may want a connection though nobody waits.
    for (unsigned lane = 0; lane == 0 || (lanes_.queued() > 0 && lane < lanes_.size()); ++lane) {
        if (lane > 0 && lanes_[lane].first == nullptr) {
            continue;
        }
        hand_out(lane);
        const bool wanted = lanes_[lane].first != nullptr || lanes_[lane].spare_wanted;
        const unsigned ready = connections_.best_rank(lane);
        // With traffic on a connection that is not the preferred one, those are tried by and by.
        const bool second_best = ready != Connections::no_rank && ready > 0 && !dirty_.empty();
        if (wanted || second_best) {
            while (seek(lane)) {
            }
        }
        if (lanes_[lane].first != nullptr && ready == Connections::no_rank &&
            !connections_.attempting(lane)) {
            give_up(lane);
        }
    }
    for (Connection* connection : dirty_) {
        connection->flush();
    }
    dirty_.clear();
    health_check_.flush();
}

void Upstreams::close_all() noexcept {
    for (const auto& connection : connections_) {
        connection->close();
    }
}

void Upstreams::bury() noexcept {
    health_check_.bury();
    if (!closed_any_) {
        return;
    }
    closed_any_ = false;
    connections_.bury();
}

} // namespace dotproxy
