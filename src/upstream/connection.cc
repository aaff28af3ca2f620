// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/connection.hh"

#include "upstream/connect_failure.hh"
#include "upstream/tcp_options.hh"
#include "upstream/way_out.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <system_error>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// So many octets hold a message, whatever else; a peer that sends more without one sends empty
// records, tickets or key updates without end (L51). The largest handshake message is 128 KiB.
constexpr std::size_t most_fruitless = 262144;
// A connection that has carried nothing yet is kept at least this long, whatever is configured.
constexpr Clock::duration first_use_time = 1s;

} // namespace

Connection::Connection(Turn& turn, Owner& owner, Endpoint& endpoint, unsigned lane,
                       std::uint16_t id_mask) noexcept
    : turn_{turn}, owner_{owner}, endpoint_{endpoint}, stream_{endpoint.context(),
                                                               endpoint.identity(),
                                                               endpoint.tickets(),
                                                               endpoint.spoken()},
      wire_{endpoint.make_wire(id_mask)},
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
    if (const char* const what = bind_way_out(fd, endpoint_.upstream())) {
        end_by_system(what, errno);
        return;
    }
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
            if (fruitless_ > most_fruitless + wire_->partial_limit()) {
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
        on_trial_ = endpoint_.is_doubtful();
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

void Connection::set_deadline() noexcept {
    const bool retiring = state_ == State::retiring;
    if (state_ != State::ready && !retiring) {
        return; // the others keep the deadline of the step they are in
    }
    if (wire_->partial_since() != TimePoint::max()) {
        // Whatever else goes on, a frame that was begun must come to its end (L84).
        deadline_ = wire_->partial_since() + Patience::rest(turn_.config);
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
    if (is_probed() || !wire_->can_probe()) {
        called_silent_ = true;
        owner_.on_silent(*this);
        set_deadline();
        return;
    }
    wire_->forget_probe(); // one that was lost before the peer was last heard says nothing
    silent_since_ = turn_.now - Patience::silence(turn_.config) / 2; // the probe has its time
    probed_at_ = turn_.now;
    wire_->ask_for_life();
    owner_.mark_dirty(*this);
    set_deadline();
}

/// Nothing is in flight on it any more, and it takes no more.
void Connection::finish() noexcept {
    if (leaving_ && answers_ == 0) { // which is not how an upstream takes its leave that is of use
        end({Trouble::busy, ConnectFailure::reset}, "takes no questions");
    } else {
        close();
    }
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
            finish();
            break;
        }
        [[fallthrough]];
    case State::ready:
        if (wire_->partial_since() != TimePoint::max()) {
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
    } else if (stream_.failure() == tls::Failure::unfit) {
        end({Trouble::unfit, ConnectFailure::tls}, stream_.reason());
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
