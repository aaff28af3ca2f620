// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/connection.hh"

#include "upstream/connect_failure.hh"
#include "upstream/tcp_options.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <system_error>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// More than this waiting for the peer to read: no new queries on this connection (L30).
constexpr std::size_t output_limit = 262144;
// With so many IDs lost to questions that were never answered, a new connection is due.
constexpr std::size_t most_forgotten = Slots::capacity / 4;
// So many octets hold a message, whatever else; a peer that sends more without one sends empty
// records, tickets or key updates without end (L51). The largest handshake message is 128 KiB.
constexpr std::size_t most_fruitless = 262144;
// So many questions are let through together where no probe is answered: an upstream that lives is
// not shut out for one name that it does not answer.
constexpr std::size_t most_on_trial = 4;
// A connection that has carried nothing yet is kept at least this long, whatever is configured.
constexpr Clock::duration first_use_time = 1s;

} // namespace

Connection::Connection(Turn& turn, Owner& owner, Endpoint& endpoint, unsigned lane,
                       std::uint16_t id_mask) noexcept
    : turn_{turn}, owner_{owner}, endpoint_{endpoint},
      stream_{endpoint.context(), endpoint.identity(), endpoint.tickets()}, wire_{id_mask},
      idle_limit_{idle_limit(lane, turn.config.timeouts.upstream_idle)}, lane_{lane} {}

void Connection::start() noexcept {
    count(UpstreamCounter::connects);
    const Address& address = endpoint_.address();
    deadline_ = turn_.now + turn_.config.timeouts.connect;
    step_since_ = turn_.now;
    socket_.reset(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket_) {
        end_by_system("socket", errno);
        return;
    }
    const int fd = socket_.get();
    set_options(fd, turn_.config.timeouts.query);
    const bool connected = ::connect(fd, address.data(), address.size()) == 0;
    if (!connected && errno != EINPROGRESS) {
        end_by_system("connect", errno);
        return;
    }
    events_ = connected ? EPOLLIN : EPOLLOUT;
    watching_ = turn_.loop.add(fd, events_, *this);
    if (!watching_) {
        end_by_system("epoll", errno);
        return;
    }
    if (connected) {
        on_connected(); // with TCP Fast Open the handshake's first octets travel in the SYN
    }
}

void Connection::on_ready(std::uint32_t events) noexcept {
    if (state_ == State::closed) {
        return;
    }
    if (state_ == State::connecting) {
        on_connected();
        return;
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        on_readable();
    }
    if ((events & EPOLLOUT) != 0 && state_ != State::closed) {
        owner_.mark_dirty(*this);
    }
}

void Connection::on_connected() noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (error != 0) {
        end_by_system("connect", error);
        return;
    }
    if (turn_.now > step_since_) { // else with TCP Fast Open, where the handshake has this time too
        time(UpstreamTime::connect, step_since_);
    }
    step_since_ = turn_.now;
    state_ = State::handshaking;
    watch(EPOLLIN);
    take_in();
}

void Connection::on_readable() noexcept {
    const ssize_t count = ::recv(socket_.get(), turn_.scratch->data(), turn_.scratch->size(), 0);
    if (count < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            end_by_system("connection", errno);
        }
        return;
    }
    if (count == 0) {
        stream_.feed_end();
    } else {
        owner_.mark_dirty(*this);
        stream_.feed(std::span{*turn_.scratch}.first(static_cast<std::size_t>(count)));
    }
    fruitless_ += static_cast<std::size_t>(count);
    take_in();
}

void Connection::take_in() noexcept {
    // All ciphertext at hand is used up before this returns: epoll does not know of octets that are
    // inside the session already (G1).
    if (state_ == State::handshaking) {
        const tls::Io progress = stream_.handshake();
        owner_.mark_dirty(*this);
        if (progress == tls::Io::again) {
            return;
        }
        if (progress != tls::Io::done) {
            end_by_session();
            return;
        }
        on_verified();
    }
    for (;;) {
        std::size_t size = 0;
        switch (stream_.receive(*turn_.plain, size)) {
        case tls::Io::done:
            read(std::span{*turn_.plain}.first(size));
            if (state_ == State::closed) {
                return;
            }
            continue;
        case tls::Io::again:
            if (fruitless_ > most_fruitless) {
                count(UpstreamCounter::broken);
                end({Trouble::unreachable, ConnectFailure::other}, "sends much and no answers");
            }
            set_deadline();
            return;
        case tls::Io::closed:
            end({Trouble::unreachable, ConnectFailure::reset}, "closed by the upstream");
            return;
        case tls::Io::failed:
            end_by_session();
            return;
        }
    }
}

void Connection::on_verified() noexcept {
    count(UpstreamCounter::handshakes);
    time(UpstreamTime::handshake, step_since_);
    if (stream_.resumed()) {
        count(UpstreamCounter::resumed);
    }
    if (owner_.wants_proof(*this)) {
        state_ = State::proving;
        probe();
    } else {
        on_trial_ = endpoint_.trouble() == Trouble::silent;
        become_ready();
    }
}

void Connection::become_ready() noexcept {
    state_ = State::ready;
    idle_since_ = turn_.now;
    set_deadline();
    if (!on_trial_) { // else with its first answer
        owner_.on_ready(*this);
    }
}

bool Connection::has_room() const noexcept {
    return state_ == State::ready && wire_.has_room() &&
           !(is_on_trial() && in_flight() >= most_on_trial) &&
           wire_.queued().size() + stream_.output().size() < output_limit;
}

/// Asks for a sign of life.
void Connection::probe() noexcept {
    wire_.send_probe();
    probed_at_ = turn_.now;
    owner_.mark_dirty(*this);
}

void Connection::send(Inquiry& inquiry) noexcept {
    inquiry.add_place(*this, wire_.send(inquiry));
    inquiry.sent_at = turn_.now;
    silent_since_ = std::min(silent_since_, turn_.now);
    used_ = true;
    set_deadline();
    owner_.mark_dirty(*this);
}

void Connection::forget(std::uint16_t slot) noexcept {
    wire_.forget(slot);
    on_slot_free();
    // In a side lane the question that was never answered may still be at work there.
    if (state_ == State::ready && (is_side(lane_) || wire_.forgotten() >= most_forgotten)) {
        retire();
    }
}

void Connection::on_slot_free() noexcept {
    if (in_flight() > 0) {
        return;
    }
    idle_since_ = turn_.now;
    set_deadline();
}

void Connection::read(dns::Octets plain) noexcept {
    heard_at_ = turn_.now;
    wire_.feed(plain);
    while (state_ != State::closed) {
        const FrameWire::Arrival arrival = wire_.next();
        if (arrival.kind == FrameWire::Arrival::Kind::nothing) {
            wire_.keep_rest(turn_.now);
            silent_since_ = in_flight() > 0 ? turn_.now : TimePoint::max();
            return;
        }
        fruitless_ = 0;
        on_arrival(arrival);
    }
}

void Connection::on_arrival(const FrameWire::Arrival& arrival) noexcept {
    switch (arrival.kind) {
    case FrameWire::Arrival::Kind::answer:
        on_answer(*arrival.inquiry, arrival.slot, arrival.message);
        break;
    case FrameWire::Arrival::Kind::probe:
        on_probe_answered();
        break;
    case FrameWire::Arrival::Kind::late:
        count(UpstreamCounter::late);
        if (arrival.slot != Slots::none) { // to a question of ours, though nobody waits for it
            note_answer();
            on_slot_free();
        }
        break;
    case FrameWire::Arrival::Kind::broken:
        count(UpstreamCounter::broken);
        end({Trouble::unreachable, ConnectFailure::other}, arrival.reason);
        break;
    case FrameWire::Arrival::Kind::nothing:
        break;
    }
}

void Connection::on_probe_answered() noexcept {
    note_answer();
    endpoint_.note_probe(true);
    if (state_ == State::proving) {
        become_ready();
    } else {
        on_slot_free();
    }
}

void Connection::note_answer() noexcept {
    ++answers_;
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
    wire_.free(slot);
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
    if (const dns::Octets queued = wire_.queued(); !queued.empty()) {
        if (stream_.send(queued) != tls::Io::done) {
            end_by_session();
            return;
        }
        count(UpstreamCounter::records, (queued.size() + 16383) / 16384);
        count(UpstreamCounter::queries, wire_.on_sent());
    } else if (in_flight() > 0) {
        // Nothing to send that would carry the acknowledgement, and more answers due: a peer that
        // holds them back until it is acknowledged (Nagle) must not wait for the delayed one, 40
        // ms.
        acknowledge_at_once(socket_.get());
    }
    write_out();
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

void Connection::set_deadline() noexcept {
    const bool retiring = state_ == State::retiring;
    if (state_ != State::ready && !retiring) {
        return; // the others keep the deadline of the step they are in
    }
    if (wire_.partial_since() != TimePoint::max()) {
        // Whatever else goes on, a frame that was begun must come to its end (L84).
        deadline_ = wire_.partial_since() + Patience::rest(turn_.config);
    } else if (silent_since_ != TimePoint::max() && !called_silent_) {
        deadline_ = silent_since_ + Patience::silence(turn_.config) / (is_probed() ? 1 : 2);
    } else if (retiring) {
        deadline_ = retires_at_;
    } else {
        deadline_ = idle_since_ + (used_ ? idle_limit_ : std::max(idle_limit_, first_use_time));
    }
    if (retiring) { // closed in this turn or the next, not under the caller's hands
        deadline_ = in_flight() == 0 ? turn_.now : std::min(deadline_, retires_at_);
    }
}

/// Nothing came for a while. It is asked for a sign of life before it is called silent; if it gives
/// one, the upstream is slow with a name, which is not held against it (L80).
void Connection::on_quiet() noexcept {
    if (is_probed() || !wire_.can_probe()) {
        called_silent_ = true;
        owner_.on_silent(*this);
        set_deadline();
        return;
    }
    wire_.forget_probe(); // one that was lost before the peer was last heard says nothing
    silent_since_ = turn_.now - Patience::silence(turn_.config) / 2; // the probe has its time
    probe();
    set_deadline();
}

void Connection::on_deadline() noexcept {
    switch (state_) {
    case State::connecting:
        end({Trouble::unreachable, ConnectFailure::timeout}, "no connection in time");
        break;
    case State::handshaking:
        end({Trouble::unreachable, ConnectFailure::timeout}, "no TLS handshake in time");
        break;
    case State::proving:
        endpoint_.note_probe(false);
        end({Trouble::silent, ConnectFailure::timeout}, "no answer to a probe");
        break;
    case State::retiring:
        if (in_flight() == 0 || turn_.now >= retires_at_) {
            close();
            break;
        }
        [[fallthrough]];
    case State::ready:
        if (wire_.partial_since() != TimePoint::max()) {
            count(UpstreamCounter::broken);
            end({Trouble::silent, ConnectFailure::other}, "began an answer and did not end it");
        } else if (silent_since_ != TimePoint::max()) {
            on_quiet();
        } else {
            close();
        }
        break;
    case State::closed:
        break;
    }
}

/// An error of the system ends it.
void Connection::end_by_system(const char* what, int error) noexcept {
    end({Trouble::unreachable, failure_of(error)},
        std::string{what} + ": " + std::system_category().message(error));
}

/// The session has failed.
void Connection::end_by_session() noexcept {
    if (stream_.failure() == tls::Failure::untrusted) {
        end({Trouble::untrusted, failure_of(stream_.refusal())}, stream_.reason());
    } else {
        end({Trouble::unreachable, stream_.cut() ? ConnectFailure::reset : ConnectFailure::tls},
            stream_.reason());
    }
}

/// Whose doing the end is, or why there was no beginning.
void Connection::count_end(End how) noexcept {
    if (!is_attempt(state_)) {
        const bool by_peer = how.failure == ConnectFailure::reset;
        endpoint_.counts().add(!by_peer          ? ClosedBy::us
                               : in_flight() > 0 ? ClosedBy::peer_busy
                                                 : ClosedBy::peer_idle);
    } else if (how.trouble != Trouble::none) { // who lost the race has not failed
        endpoint_.counts().add(how.failure);
    }
}

void Connection::end(End how, std::string reason) noexcept {
    if (state_ == State::closed) {
        return;
    }
    count_end(how);
    const State was = std::exchange(state_, State::closed);
    deadline_ = TimePoint::max();
    if (socket_) {
        // What the session has to say at its end, an alert or close_notify, if it goes out at once.
        const auto octets = stream_.output().view();
        if (!octets.empty()) {
            static_cast<void>(::send(socket_.get(), octets.data(), octets.size(), MSG_NOSIGNAL));
        }
        watching_.end();
        socket_.reset();
    }
    owner_.on_closed(*this, was, how, std::move(reason));
}

} // namespace dotproxy
