// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "proxy/upstreams.hh"

#include "proxy/relay.hh"

#include <algorithm>
#include <limits>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// How long one attempt has for itself before the next one joins the race (RFC 8305, section 5).
constexpr Clock::duration stagger = 250ms;
// Between attempts in the side lanes, whose connections may be broken again and again.
constexpr Clock::duration side_lane_pause = 200ms;
// In a side lane a connection that has just answered may be about to be closed, as some servers do
// after each answer: the next question gets time to see it, since it has no more sends to lose.
constexpr Clock::duration side_lane_rest = 10ms;
// A connection that was of this much use and is closed while idle is replaced at once, so that the
// next question need not wait for a handshake. The spare itself is not: it was of no use yet.
constexpr std::uint64_t worth_a_spare = 4;
// An outage that has lasted this many client time-outs is not about to end.
constexpr int hopeless_after = 3;
constexpr unsigned no_rank = std::numeric_limits<unsigned>::max();

bool is_attempt(Connection::State state) noexcept {
    return state == Connection::State::connecting || state == Connection::State::handshaking ||
           state == Connection::State::proving;
}

/// Whether an idle connection is of no use to this question: the last send needs one that has
/// answered nothing yet, not even a probe. A peer that answers at all has an answer left for it.
bool is_spent(const Connection& connection, const Inquiry& inquiry) noexcept {
    return inquiry.has_one_send() && connection.answers() > 0 && connection.in_flight() == 0;
}

dns::ExtendedError extended(std::uint16_t code, const std::string& text) noexcept {
    return {.code = code,
            .text = {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}};
}

} // namespace

Upstreams::Upstreams(Turn& turn, const tls::ClientContext& context, Relay& relay)
    : turn_{turn}, context_{context}, relay_{relay}, attempts_{Patience::upstream(turn.config)},
      random_{std::random_device{}()}, failure_log_{10, 10s} {
    make_endpoints();
}

void Upstreams::make_endpoints() {
    const auto& upstreams = turn_.config.upstreams;
    identities_.reserve(upstreams.size());
    for (unsigned rank = 0; rank < upstreams.size(); ++rank) {
        const UpstreamConfig& upstream = upstreams[rank];
        auto identity = tls::Identity::make(upstream.name, upstream.pins);
        if (!identity) {
            throw ConfigError{"upstream " + std::to_string(rank) + ": nothing to verify"};
        }
        identities_.push_back(std::move(*identity));
        for (const Address& address : in_turns(upstream.addresses)) {
            endpoints_.push_back(
                std::make_unique<Endpoint>(rank, address, identities_.back(), upstream.name));
        }
    }
}

void Upstreams::submit(Inquiry& inquiry) noexcept {
    if (Connection* connection = pick(inquiry)) {
        send(*connection, inquiry);
    } else {
        enqueue(inquiry, false);
    }
}

void Upstreams::abandon(Inquiry& inquiry) noexcept {
    if (inquiry.queued) {
        dequeue(inquiry);
    }
    inquiry.disarm();
    for (Inquiry::Place& place : inquiry.places) {
        if (place.connection != nullptr) {
            place.connection->forget(place.slot);
            place = {};
        }
    }
}

void Upstreams::enqueue(Inquiry& inquiry, bool in_front) noexcept {
    Lane& lane = lanes_[inquiry.lane];
    inquiry.queued = true;
    ++lane.queued;
    inquiry.queue_previous = in_front ? nullptr : lane.last;
    inquiry.queue_next = in_front ? lane.first : nullptr;
    (inquiry.queue_previous != nullptr ? inquiry.queue_previous->queue_next : lane.first) =
        &inquiry;
    (inquiry.queue_next != nullptr ? inquiry.queue_next->queue_previous : lane.last) = &inquiry;
}

void Upstreams::dequeue(Inquiry& inquiry) noexcept {
    Lane& lane = lanes_[inquiry.lane];
    inquiry.queued = false;
    --lane.queued;
    (inquiry.queue_previous != nullptr ? inquiry.queue_previous->queue_next : lane.first) =
        inquiry.queue_next;
    (inquiry.queue_next != nullptr ? inquiry.queue_next->queue_previous : lane.last) =
        inquiry.queue_previous;
}

/// When a connection can take this question; max() where only an event can tell.
TimePoint Upstreams::free_from(const Connection& connection, const Inquiry& inquiry) noexcept {
    if (connection.lane() != inquiry.lane || !connection.has_room() ||
        is_spent(connection, inquiry) || (inquiry.lane > 0 && connection.in_flight() > 0)) {
        return TimePoint::max();
    }
    const bool rests = inquiry.lane > 0 && connection.answers() > 0;
    return rests ? connection.heard_at() + side_lane_rest : TimePoint::min();
}

Connection* Upstreams::pick(const Inquiry& inquiry) noexcept {
    Connection* best = nullptr;
    for (const auto& connection : connections_) {
        if (free_from(*connection, inquiry) <= turn_.now &&
            (best == nullptr || connection->endpoint().rank() < best->endpoint().rank())) {
            best = connection.get();
        }
    }
    return best;
}

void Upstreams::send(Connection& connection, Inquiry& inquiry) noexcept {
    ++inquiry.sends;
    if (inquiry.sends > 1) {
        turn_.counters.add(Counter::upstream_resent);
    }
    connection.send(inquiry);
    attempts_.arm(inquiry, turn_.now);
}

void Upstreams::hand_out(unsigned lane) noexcept {
    while (Inquiry* inquiry = lanes_[lane].first) {
        Connection* connection = pick(*inquiry);
        if (connection == nullptr) {
            return;
        }
        dequeue(*inquiry);
        send(*connection, *inquiry);
    }
}

/// Of the connections that serve a lane, or will do so when they are idle.
unsigned Upstreams::best_ready_rank(unsigned lane) const noexcept {
    const Inquiry* first = lanes_[lane].first;
    unsigned best = no_rank;
    for (const auto& connection : connections_) {
        if (connection->lane() == lane && connection->has_room() &&
            !(first != nullptr && is_spent(*connection, *first))) {
            best = std::min(best, connection->endpoint().rank());
        }
    }
    return best;
}

bool Upstreams::attempting(unsigned lane, const Endpoint* endpoint) const noexcept {
    return std::any_of(connections_.begin(), connections_.end(), [&](const auto& connection) {
        return connection->lane() == lane && is_attempt(connection->state()) &&
               (endpoint == nullptr || &connection->endpoint() == endpoint);
    });
}

/// The endpoint that is to be tried next in this lane, if any: only one that is preferred to what
/// is ready, untroubled ones first, then by rank, then the one that last was of use.
Endpoint* Upstreams::next_endpoint(unsigned lane) noexcept {
    const unsigned ready = best_ready_rank(lane);
    Endpoint* best = nullptr;
    const auto precedes = [](const Endpoint& a, const Endpoint& b) {
        const bool a_well = a.trouble() == Trouble::none;
        const bool b_well = b.trouble() == Trouble::none;
        if (a_well != b_well) {
            return a_well;
        }
        return a.rank() != b.rank() ? a.rank() < b.rank() : a.good_at() > b.good_at();
    };
    for (const auto& endpoint : endpoints_) {
        if (endpoint->rank() < ready && endpoint->retry_at() <= turn_.now &&
            !attempting(lane, endpoint.get()) && (best == nullptr || precedes(*endpoint, *best))) {
            best = endpoint.get();
        }
    }
    return best;
}

/// Starts the next attempt in a lane if it is time for one. true: it did.
bool Upstreams::seek(unsigned lane) noexcept {
    if (turn_.now < lanes_[lane].next_attempt) {
        return false;
    }
    Endpoint* endpoint = next_endpoint(lane);
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
    connections_.push_back(std::make_unique<Connection>(turn_, *this, endpoint, context_, lane,
                                                        static_cast<std::uint16_t>(random_())));
    turn_.counters.set(Counter::upstream_connections, connections_.size());
    connections_.back()->start();
}

/// Whether nothing is to be hoped for within a client's patience: every endpoint cannot be trusted,
/// or has been out of use for so long that a restart or a change of networks would be over.
bool Upstreams::hopeless() const noexcept {
    const TimePoint long_ago = turn_.now - hopeless_after * turn_.config.timeouts.query;
    return std::all_of(endpoints_.begin(), endpoints_.end(), [long_ago](const auto& endpoint) {
        return endpoint->trouble() == Trouble::untrusted ||
               (endpoint->trouble() != Trouble::none && endpoint->down_since() <= long_ago);
    });
}

bool Upstreams::failing() const noexcept {
    return std::all_of(endpoints_.begin(), endpoints_.end(),
                       [](const auto& endpoint) { return endpoint->trouble() != Trouble::none; });
}

/// Nothing is ready in this lane and nothing is being tried: fails what waits, if it would wait in
/// vain; else it waits for the next attempt.
void Upstreams::give_up(unsigned lane) noexcept {
    if (!hopeless()) {
        return;
    }
    Inquiry* inquiry = lanes_[lane].first;
    while (inquiry != nullptr) {
        Inquiry* next = inquiry->queue_next;
        if (!inquiry->in_flight()) {
            relay_.failed(*inquiry, excuse());
        }
        inquiry = next;
    }
}

dns::ExtendedError Upstreams::excuse() noexcept {
    // The preferred endpoint's trouble tells most.
    for (const auto& endpoint : endpoints_) {
        if (endpoint->trouble() != Trouble::none) {
            excuse_ = endpoint->text() + ": " + endpoint->reason();
            return extended(endpoint->trouble() == Trouble::untrusted
                                ? dns::ExtendedError::no_reachable_authority
                                : dns::ExtendedError::network_error,
                            excuse_);
        }
    }
    excuse_ = "no answer from the upstream in time";
    return extended(dns::ExtendedError::no_reachable_authority, excuse_);
}

void Upstreams::expire() noexcept {
    while (Inquiry* inquiry = attempts_.pop(turn_.now)) {
        overdue(*inquiry);
    }
    for (const auto& connection : connections_) { // only the flush adds to them
        if (connection->deadline() <= turn_.now) {
            connection->on_deadline();
        }
    }
}

void Upstreams::overdue(Inquiry& inquiry) noexcept {
    const TimePoint long_ago = turn_.now - Patience::upstream(turn_.config);
    bool hoping = false;
    for (const Inquiry::Place& place : inquiry.places) {
        Connection* connection = place.connection;
        if (connection == nullptr || connection->state() != Connection::State::ready) {
            continue;
        }
        if (std::max(connection->heard_at(), inquiry.sent_at) <= long_ago) {
            stalled(*connection);
            return;
        }
        hoping = true;
    }
    if (hoping) {
        // The connection lives, the upstream is slow with this name: asking again would not help,
        // and the client's patience bounds it. But the connection may fall silent yet.
        attempts_.arm(inquiry, turn_.now);
    }
}

/// A connection has been silent for too long while questions were in flight (L31, L32): they are
/// asked again elsewhere, and it takes no new ones, but its answers still count if they come.
void Upstreams::stalled(Connection& connection) noexcept {
    trouble(connection.endpoint(), Trouble::silent, "answers nothing");
    connection.retire();
    connection.for_each_inquiry([&](Inquiry& inquiry) {
        if (!inquiry.queued && inquiry.sends < max_sends) {
            change_lane(inquiry, connection);
            enqueue(inquiry, false);
        }
    });
}

void Upstreams::trouble(Endpoint& endpoint, Trouble trouble, std::string reason) noexcept {
    turn_.counters.add(Counter::upstream_failed);
    const bool news = endpoint.trouble() != trouble;
    endpoint.fail(trouble, std::move(reason), turn_.now, static_cast<std::uint32_t>(random_()));
    log::write_limited(failure_log_, turn_.now, news ? log::Level::warning : log::Level::debug,
                       "upstream %s: %s", endpoint.text().c_str(), endpoint.reason().c_str());
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
        } else if (connection.lane() > 0 && other->in_flight() == 0) {
            other->retire(); // a side lane has one connection
        }
    }
    if (!attempting(connection.lane())) {
        // Should this one take no more questions soon, the next attempt has nothing to wait for.
        lanes_[connection.lane()].next_attempt = turn_.now;
    }
}

void Upstreams::on_answer(Connection& connection) noexcept {
    Endpoint& endpoint = connection.endpoint();
    endpoint.note_answer();
    if (endpoint.trouble() != Trouble::none) {
        endpoint.recover();
        log::write_limited(failure_log_, turn_.now, log::Level::notice, "upstream %s: works again",
                           endpoint.text().c_str());
    }
}

void Upstreams::on_closed(Connection& connection, Connection::State was, Trouble why,
                          std::string reason) noexcept {
    closed_any_ = true;
    Lane& lane = lanes_[connection.lane()];
    const bool productive = connection.answers() > 0;
    bool first_timers = false;
    std::size_t lost = 0;
    connection.for_each_inquiry([&](const Inquiry& inquiry) {
        ++lost;
        first_timers = first_timers || inquiry.sends == 1;
    });
    if (is_attempt(was)) {
        if (why != Trouble::none) {
            trouble(connection.endpoint(), why, std::move(reason));
            lane.next_attempt = turn_.now;
        }
    } else if (why != Trouble::none && !productive && first_timers) {
        // It let us in and then answered nothing. Questions that broke another connection before
        // may be to blame themselves, and are not held against it (L80).
        trouble(connection.endpoint(), why, std::move(reason));
    } else if (why != Trouble::none && lost == 0 && connection.answers() >= worth_a_spare &&
               connection.lane() == 0 && was == Connection::State::ready) {
        lane.spare_wanted = true;
    }
    if (!is_attempt(was)) {
        lane.next_attempt =
            connection.lane() == 0 || productive ? turn_.now : turn_.now + side_lane_pause;
    }
    connection.release_inquiries(
        [&](Inquiry& inquiry, bool sent) { send_again(inquiry, connection, sent); });
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
        relay_.failed(inquiry, extended(dns::ExtendedError::network_error,
                                        excuse_ = "the upstream closes instead of answering"));
        return;
    }
    if (sent) {
        change_lane(inquiry, lost);
    }
    enqueue(inquiry, true);
}

/// A connection was lost under an inquiry, which may be to blame.
void Upstreams::change_lane(Inquiry& inquiry, const Connection& lost) noexcept {
    // The end of a connection that was of use may have crossed with the question (L34), or had
    // begun before it: nothing came since it was sent, and it is the first one that this question
    // lost.
    const bool crossed =
        lost.answers() > 0 && lost.sound_until() < inquiry.sent_at && inquiry.sends == 1;
    if (crossed) {
        return;
    }
    inquiry.lane = 1;
    for (std::uint8_t lane = 2; lane < lane_count; ++lane) {
        if (load(lane) < load(inquiry.lane)) {
            inquiry.lane = lane;
        }
    }
}

/// How many questions travel in a lane or wait for it.
std::size_t Upstreams::load(unsigned lane) const noexcept {
    std::size_t questions = lanes_[lane].queued;
    for (const auto& connection : connections_) {
        if (connection->lane() == lane && connection->state() != Connection::State::closed) {
            questions += connection->in_flight();
        }
    }
    return questions;
}

void Upstreams::soonest(TimePoint& earliest) noexcept {
    attempts_.soonest(earliest);
    for (const auto& connection : connections_) {
        earliest = std::min(earliest, connection->deadline());
    }
    for (unsigned lane = 0; lane < lane_count; ++lane) {
        if (lanes_[lane].first == nullptr) {
            continue;
        }
        if (pick(*lanes_[lane].first) != nullptr) {
            earliest = turn_.now; // it came back after this turn's queues were handed out
            return;
        }
        for (const auto& connection : connections_) {
            earliest = std::min(earliest, free_from(*connection, *lanes_[lane].first));
        }
        const unsigned ready = best_ready_rank(lane);
        for (const auto& endpoint : endpoints_) {
            if (endpoint->rank() < ready && !attempting(lane, endpoint.get())) {
                earliest =
                    std::min(earliest, std::max(endpoint->retry_at(), lanes_[lane].next_attempt));
            }
        }
    }
}

void Upstreams::flush() noexcept {
    for (unsigned lane = 0; lane < lane_count; ++lane) {
        hand_out(lane);
        const bool wanted = lanes_[lane].first != nullptr || lanes_[lane].spare_wanted;
        const unsigned ready = best_ready_rank(lane);
        // With traffic on a connection that is not the preferred one, those are tried by and by.
        const bool second_best = ready != no_rank && ready > 0 && !dirty_.empty();
        if (wanted || second_best) {
            while (seek(lane)) {
            }
        }
        if (lanes_[lane].first != nullptr && ready == no_rank && !attempting(lane)) {
            give_up(lane);
        }
    }
    for (Connection* connection : dirty_) {
        connection->flush();
    }
    dirty_.clear();
}

void Upstreams::close_all() noexcept {
    for (const auto& connection : connections_) {
        connection->close();
    }
}

void Upstreams::bury() noexcept {
    if (!closed_any_) {
        return;
    }
    closed_any_ = false;
    std::erase_if(connections_, [](const auto& connection) {
        return connection->state() == Connection::State::closed;
    });
    turn_.counters.set(Counter::upstream_connections, connections_.size());
}

} // namespace dotproxy
