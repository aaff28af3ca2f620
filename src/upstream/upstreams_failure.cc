// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Upstreams: what becomes of inquiries that are not answered where they were sent.

#include "upstream/upstreams.hh"

#include <algorithm>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// Between attempts in the side lanes, whose connections may be broken again and again.
constexpr Clock::duration side_lane_pause = 200ms;
// The same while no upstream works: there are many of those lanes, and one question is enough to
// see that one works again (L35).
constexpr Clock::duration side_lane_rest = 1s;
// Between attempts when nothing works: an eighth of the time for which whoever asked last has
// waited, however many addresses there are (L35). So one question makes some thirty connects in
// the 4.5 s of its client's patience, and while others come an outage is seen to be over as soon as
// ever.
constexpr Clock::duration longest_pause = 1s;
constexpr int wait_share = 8;
// A connection that was of this much use and is closed while idle is replaced at once, so that the
// next question need not wait for a handshake. The spare itself is not: it was of no use yet.
constexpr std::uint64_t worth_a_spare = 4;

} // namespace

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

void Upstreams::on_lost(Connection& connection, Inquiry& inquiry, bool processed,
                        const std::string& reason) noexcept {
    if (!processed) {
        send_again(inquiry, connection, false);
        return;
    }
    constexpr dns::Response nothing{};
    if (go_on(connection, inquiry,
              {.message = {}, .verdict = dns::ResponseVerdict::malformed, .response = nothing})) {
        return;
    }
    if (inquiry.queued || inquiry.in_flight()) {
        return; // it is on its way by another connection
    }
    inquiry.disarm();
    if (inquiry.sends >= max_sends) {
        const std::string text = connection.endpoint().text() + ": " + reason;
        fail(inquiry, {.reason = FailureReason::unreachable,
                       .error = dns::ExtendedError::of(dns::ExtendedError::network_error, text)});
        return;
    }
    lanes_.push_back(inquiry);
    if (upstream_of(inquiry.lane)) {
        waits_.arm(inquiry, turn_.now);
    }
}

void Upstreams::on_busy(Connection& connection, Clock::duration rest) noexcept {
    connection.endpoint().rest(turn_.now + rest);
}

/// What comes next need not wait for a handshake (E85).
void Upstreams::on_leaving(Connection& connection) noexcept {
    if (connection.lane() == 0 && connection.answers() >= worth_a_spare &&
        connections_.pick(0) == nullptr) {
        lanes_[0].spare_wanted = true;
        lanes_[0].next_attempt = turn_.now;
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
    } else if (why == Trouble::busy || why == Trouble::unfit ||
               (connection.answers() == 0 && first_timers)) {
        // It said so of itself, or it let us in and then answered nothing. Questions that broke
        // another connection before may be to blame themselves, and are not held against it (L80).
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

} // namespace dotproxy
