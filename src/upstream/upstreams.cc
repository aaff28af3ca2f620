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
// Between attempts in the side lanes, whose connections may be broken again and again.
constexpr Clock::duration side_lane_pause = 200ms;
// The same while no upstream works: there are many of those lanes, and one question is enough to
// see that one works again (L35).
constexpr Clock::duration side_lane_rest = 1s;
// Between attempts when nothing works: an eighth of the time for which whoever asked last has
// waited, however many addresses there are (L35). So one question makes some thirty connects in
// the 4.5 s of its client's patience, and while others come an outage is seen to be over as soon as
// ever.
constexpr Clock::duration shortest_pause = 50ms;
constexpr Clock::duration longest_pause = 1s;
constexpr int wait_share = 8;
// A connection that was of this much use and is closed while idle is replaced at once, so that the
// next question need not wait for a handshake. The spare itself is not: it was of no use yet.
constexpr std::uint64_t worth_a_spare = 4;

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
        endpoints_.next(connections_.best_rank(lane), [&](const Endpoint& candidate) {
            return !asks(lane, candidate) || connections_.attempting(lane, &candidate);
        });
    if (endpoint == nullptr) {
        return false;
    }
    lanes_[lane].next_attempt = turn_.now + stagger;
    connect(*endpoint, lane);
    return true;
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
    Endpoint& endpoint = connection.endpoint();
    const Failover::Step step = failover_.judge(inquiry, endpoint.rank(), reply);
    if (step.kind == Failover::Step::Kind::pass_on) {
        inquirer_.answered(inquiry, reply.message, reply.verdict, reply.response);
        return;
    }
    if (step.kind == Failover::Step::Kind::ask && step.rank != endpoint.rank()) {
        endpoints_.failed_over(endpoint);
    }
    take(step, inquiry);
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

/// Half of the client's patience is gone, and the connection was not called silent: the upstream is
/// slow with this name, unless the patience is too short to tell. Another one is asked as well, and
/// the first answer counts. Asking the same one again would not help; where there is no other
/// address, it is waited for.
void Upstreams::overdue(Inquiry& inquiry) noexcept {
    const Connection* slow = inquiry.only_place();
    Endpoint* other = slow != nullptr ? other_than(slow->endpoint()) : nullptr;
    if (other == nullptr) {
        return;
    }
    if (Connection* connection = connections_.pick(0, other)) {
        send(*connection, inquiry);
        return;
    }
    inquiry.overdue = true;
    if (!connections_.attempting(0, other)) {
        connect(*other, 0);
    }
}

/// An address of another upstream, if that may hear of a name that the first one has no answer to,
/// or else another address of the same one; nullptr if there is none, or none that may be tried
/// now.
Endpoint* Upstreams::other_than(const Endpoint& slow) const noexcept {
    if (turn_.config.failover_on_error) {
        Endpoint* other = endpoints_.next(Connections::no_rank, [&](const Endpoint& candidate) {
            return candidate.rank() == slow.rank();
        });
        if (other != nullptr) {
            return other;
        }
    }
    return endpoints_.next(Connections::no_rank, [&](const Endpoint& candidate) {
        return &candidate == &slow || candidate.rank() != slow.rank();
    });
}

/// What is overdue elsewhere goes over a new connection as well.
void Upstreams::take_overdue(Connection& connection) noexcept {
    for (const auto& slow : connections_) {
        if (&slow->endpoint() == &connection.endpoint()) {
            continue;
        }
        slow->for_each_inquiry([&](Inquiry& inquiry) {
            if (inquiry.overdue && inquiry.only_place() != nullptr && connection.has_room()) {
                send(connection, inquiry);
            }
        });
    }
}

/// What is in flight is asked again elsewhere, and it takes no new questions, but its answers still
/// count if they come.
void Upstreams::on_silent(Connection& connection) noexcept {
    if (connection.is_on_trial()) {
        connection.endpoint().note_trial(false);
    } else {
        connection.endpoint().note_probe(false);
    }
    endpoints_.failed(connection.endpoint(), Trouble::silent, "answers nothing");
    connection.retire();
    connection.for_each_inquiry([&](Inquiry& inquiry) {
        if (inquiry.held != nullptr) {
            take(failover_.after_waiting(inquiry, connection.endpoint().rank()), inquiry);
        } else if (!inquiry.queued && inquiry.sends < max_sends) {
            step_aside(inquiry);
            lanes_.push_back(inquiry);
        }
    });
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

void Upstreams::on_closed(Connection& connection, Connection::State was, Connection::End how,
                          std::string reason) noexcept {
    closed_any_ = true;
    if (how.trouble != Trouble::none) {
        judge(connection, was, how.trouble, std::move(reason));
    }
    if (!is_attempt(was)) {
        const bool at_once = !is_side(connection.lane()) || connection.answers() > 0;
        const Clock::duration rest = failing() ? side_lane_rest : side_lane_pause;
        lanes_[connection.lane()].next_attempt = at_once ? turn_.now : turn_.now + rest;
    }
    connection.release_inquiries(
        [&](Inquiry& inquiry, bool sent) { send_again(inquiry, connection, sent); });
}

/// A connection has ended against our will: whether its endpoint is to blame, and what to do next.
void Upstreams::judge(Connection& connection, Connection::State was, Trouble why,
                      std::string reason) noexcept {
    Lane& lane = lanes_[connection.lane()];
    bool first_timers = false;
    std::size_t lost = 0;
    connection.for_each_inquiry([&](const Inquiry& inquiry) {
        ++lost;
        first_timers = first_timers || inquiry.sends == 1;
    });
    if (is_attempt(was)) {
        const bool again = connection.endpoint().trouble() != Trouble::none;
        endpoints_.failed(connection.endpoint(), why, std::move(reason));
        lane.next_attempt = again && failing() ? turn_.now + pause(lane) : turn_.now;
    } else if (connection.answers() == 0 && first_timers) {
        // It let us in and then answered nothing. Questions that broke another connection before
        // may be to blame themselves, and are not held against it (L80).
        endpoints_.failed(connection.endpoint(), why, std::move(reason));
    } else if (lost == 0 && connection.answers() >= worth_a_spare && connection.lane() == 0 &&
               was == Connection::State::ready) {
        lane.spare_wanted = true;
    }
}

/// How long a lane rests between attempts while no upstream works.
Clock::duration Upstreams::pause(const Lane& lane) const noexcept {
    if (lane.last == nullptr) {
        return shortest_pause;
    }
    return std::clamp((turn_.now - lane.last->asked_at) / wait_share, shortest_pause,
                      longest_pause);
}

void Upstreams::send_again(Inquiry& inquiry, const Connection& lost, bool sent) noexcept {
    if (!sent) {
        --inquiry.sends; // it never left this host
    }
    if (inquiry.queued || inquiry.in_flight()) {
        return; // it is on its way by another connection
    }
    inquiry.disarm();
    if (inquiry.sends >= max_sends) {
        fail(inquiry,
             {.reason = FailureReason::unreachable,
              .error = dns::ExtendedError::of(dns::ExtendedError::network_error,
                                              "the upstream closes instead of answering")});
        return;
    }
    if (inquiry.held != nullptr && lost.endpoint().rank() < failover_.upstreams()) {
        inquiry.lane = upstream_lane(lost.endpoint().rank(), is_side(inquiry.lane)); // no other's
    }
    if (sent && !crossed(inquiry, lost)) {
        step_aside(inquiry);
    }
    lanes_.push_front(inquiry);
    if (upstream_of(inquiry.lane)) {
        waits_.arm(inquiry, turn_.now);
    }
}

/// Whether the end of a connection that was of use may have crossed with a question (L34), or had
/// begun before it: nothing came since it was sent, and it is the first one that this question
/// lost.
bool Upstreams::crossed(const Inquiry& inquiry, const Connection& lost) noexcept {
    return lost.answers() > 0 && lost.sound_until() < inquiry.sent_at && inquiry.sends == 1;
}

/// A connection was lost under an inquiry, which may be to blame.
void Upstreams::step_aside(Inquiry& inquiry) const noexcept {
    if (const auto rank = upstream_of(inquiry.lane); rank && inquiry.held != nullptr) {
        inquiry.lane = upstream_lane(*rank, true);
        return;
    }
    const auto load = [this](unsigned lane) { // what travels in it or waits for it
        return lanes_[lane].queued + connections_.in_flight(lane);
    };
    inquiry.lane = inquiry.has_one_send() ? single_lane(load) : group_lane(load);
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
            if (endpoint->rank() < ready && asks(lane, *endpoint) &&
                !connections_.attempting(lane, endpoint.get())) {
                earliest =
                    std::min(earliest, std::max(endpoint->retry_at(), lanes_[lane].next_attempt));
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
