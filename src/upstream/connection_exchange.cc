// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Connection: what goes over it once the peer is verified, and what comes back.

#include "upstream/connection.hh"

#include "upstream/tcp_options.hh"

#include <cerrno>
#include <sys/socket.h>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// More than this waiting for the peer to read: no new queries on this connection (L30).
constexpr std::size_t output_limit = 262144;
// With so many IDs lost to questions that were never answered, a new connection is due.
constexpr std::size_t most_forgotten = Slots::capacity / 4;
// So many questions are let through together where no probe is answered: an upstream that lives is
// not shut out for one name that it does not answer.
constexpr std::size_t most_on_trial = 4;
// After so many queries that came to nothing in a row, one of our own has to be answered; a
// question has a send left then, and what nobody is to blame for is the connection's fault (E84).
constexpr unsigned most_in_vain = 2;

/// What it says about an endpoint that a query of our own comes to nothing in this way.
Trouble trouble_by(QueryWire::Loss loss) noexcept {
    return loss == QueryWire::Loss::unfit ? Trouble::unfit : Trouble::busy;
}

} // namespace

bool Connection::has_room() const noexcept {
    return state_ == State::ready && !full_ && !suspect_ &&
           in_flight() < endpoint_.most_in_flight() && endpoint_.rests_until() <= turn_.now &&
           wire_->has_room() && !(is_on_trial() && in_flight() >= most_on_trial) &&
           wire_->waiting() + stream_.output().size() < output_limit;
}

/// Asks for a sign of life.
void Connection::probe() noexcept {
    wire_->send_probe();
    probed_at_ = turn_.now;
    owner_.mark_dirty(*this);
}

void Connection::send(Inquiry& inquiry) noexcept {
    inquiry.add_place(*this, wire_->send(inquiry));
    inquiry.sent_at = turn_.now;
    silent_since_ = std::min(silent_since_, turn_.now);
    used_ = true;
    set_deadline();
    owner_.mark_dirty(*this);
}

void Connection::forget(std::uint16_t slot) noexcept {
    wire_->forget(slot);
    if (wire_->keeps_apart()) { // the upstream is told
        owner_.mark_dirty(*this);
    }
    on_slot_free();
    // In a side lane the question that was never answered may still be at work there.
    if (state_ == State::ready && (is_side(lane_) || wire_->forgotten() >= most_forgotten)) {
        retire();
    }
}

void Connection::on_slot_free() noexcept {
    if (in_flight() > 0) {
        return;
    }
    full_ = false;
    idle_since_ = turn_.now;
    set_deadline();
}

void Connection::read(dns::Octets plain) noexcept {
    // Over HTTP octets come with every request, whether or not it is ever answered.
    bool heard = !wire_->keeps_apart();
    heard_at_ = heard ? turn_.now : heard_at_;
    wire_->feed(plain);
    while (state_ != State::closed) {
        const QueryWire::Arrival arrival = wire_->next();
        if (arrival.kind == QueryWire::Arrival::Kind::nothing) {
            wire_->keep_rest(turn_.now);
            if (in_flight() == 0 && !suspect_) {
                silent_since_ = TimePoint::max();
            } else if (heard) {
                silent_since_ = turn_.now;
            }
            return;
        }
        heard = true;
        heard_at_ = turn_.now;
        if (arrival.kind != QueryWire::Arrival::Kind::alive) { // which a peer may say without end
            fruitless_ = 0;
        }
        on_arrival(arrival);
    }
}

void Connection::on_arrival(const QueryWire::Arrival& arrival) noexcept {
    switch (arrival.kind) {
    case QueryWire::Arrival::Kind::answer:
        on_answer(*arrival.inquiry, arrival.slot, arrival.message);
        break;
    case QueryWire::Arrival::Kind::probe:
        on_probe_answered();
        break;
    case QueryWire::Arrival::Kind::late:
        on_late(arrival);
        break;
    case QueryWire::Arrival::Kind::lost:
        on_lost(arrival);
        break;
    case QueryWire::Arrival::Kind::leaving:
        on_leaving();
        break;
    case QueryWire::Arrival::Kind::expelled:
        if (arrival.rest.count() > 0) {
            owner_.on_busy(*this, arrival.rest);
        }
        end({trouble_by(arrival.loss), ConnectFailure::other}, arrival.reason);
        break;
    case QueryWire::Arrival::Kind::broken:
        count(UpstreamCounter::broken);
        end({Trouble::unreachable, ConnectFailure::other}, arrival.reason);
        break;
    case QueryWire::Arrival::Kind::alive:
    case QueryWire::Arrival::Kind::nothing:
        break;
    }
}

void Connection::on_late(const QueryWire::Arrival& arrival) noexcept {
    count(UpstreamCounter::late);
    if (arrival.slot != Slots::none) { // to a question of ours, though nobody waits for it
        note_answer();
        on_slot_free();
    }
}

/// A query came to nothing (E84, E86).
void Connection::on_lost(const QueryWire::Arrival& arrival) noexcept {
    using Loss = QueryWire::Loss;
    // While others are in flight, one of their answers makes room.
    full_ =
        in_flight() > 0 && (arrival.loss == Loss::unprocessed || arrival.loss == Loss::too_many);
    if (arrival.inquiry == nullptr) {
        on_probe_lost(arrival);
        on_slot_free();
        return;
    }
    if (arrival.loss == Loss::too_many) {
        endpoint_.note_too_many(in_flight(), arrival.inquiry->sent_at, turn_.now);
    }
    if (arrival.loss != Loss::unprocessed) {
        count(UpstreamCounter::refused);
    }
    arrival.inquiry->remove_place(*this);
    in_vain_ += full_ || leaving_ ? 0 : 1; // those it would have taken at another time
    const bool repeated = in_vain_ >= most_in_vain;
    if (repeated || arrival.rest.count() > 0 || (arrival.loss == Loss::unfit && answers_ == 0)) {
        suspect();
    }
    // What is refused again and again has an end where no probe can put one to it.
    const bool counts = arrival.loss != Loss::unprocessed || (repeated && endpoint_.drops_probes());
    owner_.on_lost(*this, *arrival.inquiry, counts && !full_, arrival.reason);
    on_slot_free();
    if (repeated && is_on_trial()) {
        endpoint_.note_trial(false);
        end({trouble_by(arrival.loss), ConnectFailure::other}, arrival.reason);
    }
}

void Connection::on_probe_lost(const QueryWire::Arrival& arrival) noexcept {
    if (arrival.rest.count() > 0) {
        owner_.on_busy(*this, arrival.rest);
    }
    if (state_ == State::proving || suspect_) {
        endpoint_.note_probe(false);
        end({trouble_by(arrival.loss), ConnectFailure::other}, arrival.reason);
    }
}

/// It has answered as no resolver does, or fails one question after the other. Whether that is
/// their fault shows with one of ours: what clients can bring about is not held against the
/// upstream.
void Connection::suspect() noexcept {
    if (!suspect_ && state_ == State::ready && !on_trial_ && !endpoint_.drops_probes()) {
        suspect_ = true;
        wire_->forget_probe();
        probe();
    }
}

/// The upstream takes its leave: what it has it may answer still, and all else goes elsewhere
/// (E85).
void Connection::on_leaving() noexcept {
    leaving_ = true;
    if (state_ == State::proving) {
        end({Trouble::busy, ConnectFailure::reset}, "takes no questions");
        return;
    }
    retire();
    owner_.on_leaving(*this);
}

void Connection::on_probe_answered() noexcept {
    note_answer();
    suspect_ = false;
    endpoint_.note_probe(true);
    if (state_ == State::proving) {
        become_ready();
    } else {
        on_slot_free();
    }
}

void Connection::note_answer() noexcept {
    ++answers_;
    in_vain_ = 0;
    full_ = false;
    const bool was_on_trial = std::exchange(on_trial_, false);
    if (was_on_trial) {
        endpoint_.note_trial(true);
    }
    owner_.on_answer(*this);
    if (was_on_trial && state_ == State::ready) {
        owner_.on_ready(*this);
    }
}

void Connection::on_answer(Inquiry& inquiry, std::uint16_t slot, dns::Octets message) noexcept {
    dns::Response response;
    const dns::ResponseVerdict verdict =
        inquiry.sealed.empty() ? dns::parse_response(message, inquiry.question, response)
                               : dns::parse_sealed_response(message, inquiry.question);
    const bool unasked =
        verdict == dns::ResponseVerdict::ignored || verdict == dns::ResponseVerdict::foreign;
    if (unasked && wire_->keeps_apart()) {
        wire_->free(slot);
        on_lost({.kind = QueryWire::Arrival::Kind::lost,
                 .inquiry = &inquiry,
                 .reason = "answers another question than was asked"});
        return;
    }
    if (verdict == dns::ResponseVerdict::ignored) {
        count(UpstreamCounter::refused);
        return;
    }
    if (verdict == dns::ResponseVerdict::foreign) {
        count(UpstreamCounter::broken);
        end({Trouble::unreachable, ConnectFailure::other},
            "answered another question than was asked");
        return;
    }
    count(UpstreamCounter::answers);
    note_answer();
    inquiry.remove_place(*this);
    if (inquiry.sends == 1) { // else nobody knows which of them was answered
        time(UpstreamTime::rtt, inquiry.sent_at);
    }
    if (verdict != dns::ResponseVerdict::accepted) {
        count(UpstreamCounter::refused);
    }
    if (verdict == dns::ResponseVerdict::accepted || verdict == dns::ResponseVerdict::mixed) {
        note_keepalive(response);
    }
    owner_.on_response(*this, inquiry,
                       {.message = message, .verdict = verdict, .response = response});
    wire_->free(slot);
    on_slot_free();
}

void Connection::note_keepalive(const dns::Response& response) noexcept {
    if (!response.keepalive) {
        return;
    }
    if (*response.keepalive == 0) {
        retire();
        return;
    }
    // Left a little before the time the peer named, so that its close and our query do not cross
    // (C53, L34).
    const Clock::duration offered = *response.keepalive * 100ms * 9 / 10;
    idle_limit_ = std::min(idle_limit_, offered);
}

void Connection::flush() noexcept {
    if (state_ == State::closed || state_ == State::connecting) {
        return;
    }
    if (stream_.ready()) {
        encrypt_queued();
    }
    if (state_ != State::closed) {
        write_out();
    }
}

void Connection::encrypt_queued() noexcept {
    const dns::Octets queued = wire_->queued();
    if (!wire_->is_sound()) {
        count(UpstreamCounter::broken);
        end({Trouble::unreachable, ConnectFailure::other}, "cannot be asked");
        return;
    }
    if (!queued.empty()) {
        if (stream_.send(queued) != tls::Io::done) {
            end_by_session();
            return;
        }
        count(UpstreamCounter::records, (queued.size() + 16383) / 16384);
        count(UpstreamCounter::queries, wire_->on_sent());
    } else if (in_flight() > 0) {
        // Nothing to send that would carry the acknowledgement, and more answers due: a peer that
        // holds them back until it is acknowledged (Nagle) must not wait for the delayed one, 40
        // ms.
        acknowledge_at_once(socket_.get());
    }
}

void Connection::write_out() noexcept {
    Buffer& output = stream_.output();
    if (!output.empty()) {
        const auto octets = output.view();
        const ssize_t count = ::send(socket_.get(), octets.data(), octets.size(), MSG_NOSIGNAL);
        if (count > 0) {
            output.consume(static_cast<std::size_t>(count));
        } else if (errno == EPIPE) {
            // The peer has closed; what it had answered before is still to be read (G4).
            output.clear();
        } else if (errno != EAGAIN && errno != EINTR && errno != EINPROGRESS && errno != ENOBUFS) {
            end_by_system("connection", errno);
            return;
        }
    }
    watch(output.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

} // namespace dotproxy
