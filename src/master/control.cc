// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/control.hh"

#include "master/request.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/socket.h>

namespace dotproxy {

namespace {

constexpr unsigned accepts_at_once = 16;
constexpr Clock::duration accept_pause = std::chrono::seconds{1};

bool is_transient(int error) noexcept {
    return error == EAGAIN || error == EINTR;
}

std::span<const std::uint8_t> octets(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

} // namespace

void Control::add_to(std::vector<pollfd>& polled) const {
    for (const Peer& peer : peers_) {
        if (!peer.socket) {
            continue;
        }
        // One whose answer is due, or whose next line is here, is only watched for its leaving.
        const short wanted = !peer.out.empty() ? POLLOUT : POLLIN;
        const short events = peer.asked || has_line(peer) ? short{0} : wanted;
        polled.push_back({.fd = peer.socket.get(), .events = events, .revents = 0});
    }
    // The listener comes last: who has left has made room by then, and every descriptor that may be
    // given out again has had its entry in `polled` looked at.
    if (socket_.fd() >= 0 && accept_at_ == TimePoint::min()) {
        polled.push_back({.fd = socket_.fd(), .events = POLLIN, .revents = 0});
    }
}

void Control::on_ready(std::span<const pollfd> polled, TimePoint now) {
    for (const pollfd& entry : polled) {
        if (entry.revents == 0) {
            continue;
        }
        if (entry.fd == socket_.fd()) {
            bury(); // also whom an answer was the last thing for
            accept(now);
            continue;
        }
        const auto peer = std::find_if(peers_.begin(), peers_.end(), [&entry](const Peer& p) {
            return p.socket.get() == entry.fd;
        });
        if (peer == peers_.end()) {
            continue;
        }
        if ((entry.revents & POLLIN) != 0) {
            receive(*peer, now);
        } else if ((entry.revents & POLLOUT) != 0) {
            send(*peer);
        } else {
            peer->socket.reset();
        }
    }
    bury();
}

void Control::accept(TimePoint now) {
    for (unsigned i = 0; i < accepts_at_once; ++i) {
        Fd socket{::accept4(socket_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (!socket) {
            if (!is_transient(errno) && errno != ECONNABORTED) {
                accept_at_ = now + accept_pause; // or the wait would never wait (L47)
            }
            return;
        }
        if (peers_.size() >= max_clients) {
            const std::string busy = error_line("too many are connected already; try again");
            static_cast<void>(
                ::send(socket.get(), busy.data(), busy.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
            continue;
        }
        peers_.push_back({.number = ++clients_,
                          .socket = std::move(socket),
                          .in = {},
                          .out = {},
                          .deadline = now + patience});
    }
}

void Control::receive(Peer& peer, TimePoint now) {
    std::array<char, max_line> room; // NOLINT(cppcoreguidelines-pro-type-member-init): read into
    const ssize_t count =
        ::recv(peer.socket.get(), room.data(), max_line - peer.in.size(), MSG_DONTWAIT);
    if (count < 0) {
        if (!is_transient(errno)) {
            peer.socket.reset();
        }
        return;
    }
    peer.ended = count == 0;
    peer.in.append(room.data(), static_cast<std::size_t>(count));
    const bool whole = peer.in.find('\n') != std::string::npos;
    if (!whole && peer.in.size() == max_line) {
        peer.in.clear();
        peer.ended = true;
        answer(peer.number, error_line("a request is at most 1 KiB long"), now);
    } else if (!whole) {
        settle(peer);
    }
}

std::optional<Control::Line> Control::next() {
    for (Peer& peer : peers_) {
        if (!has_line(peer)) {
            continue;
        }
        const std::size_t end = peer.in.find('\n');
        Line line{.client = peer.number, .text = peer.in.substr(0, end)};
        peer.in.erase(0, end + 1);
        peer.asked = true;
        peer.deadline = TimePoint::max();
        return line;
    }
    return std::nullopt;
}

void Control::answer(Client client, std::string_view text, TimePoint now) {
    const auto peer = std::find_if(peers_.begin(), peers_.end(),
                                   [client](const Peer& p) { return p.number == client; });
    if (peer == peers_.end()) {
        return;
    }
    peer->asked = false;
    peer->deadline = now + patience;
    peer->out.append(octets(text));
    send(*peer);
}

void Control::send(Peer& peer) noexcept {
    while (peer.socket && !peer.out.empty()) {
        const auto left = peer.out.view();
        const ssize_t count =
            ::send(peer.socket.get(), left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count > 0) {
            peer.out.consume(static_cast<std::size_t>(count));
        } else if (count < 0 && is_transient(errno)) {
            return;
        } else {
            peer.socket.reset();
        }
    }
    peer.out.release();
    settle(peer);
}

/// Whether next() has something to take from it.
bool Control::has_line(const Peer& peer) noexcept {
    return peer.socket && !peer.asked && peer.out.empty() &&
           peer.in.find('\n') != std::string::npos;
}

/// Closes the connection of one that gets no answer any more, and can send nothing.
void Control::settle(Peer& peer) noexcept {
    if (peer.ended && !peer.asked && peer.out.empty() && peer.in.find('\n') == std::string::npos) {
        peer.socket.reset();
    }
}

// Who leaves while we are at work for it keeps its place: else there would be no end of the work
// that one after the other leaves behind.
void Control::bury() {
    std::erase_if(peers_, [](const Peer& peer) { return !peer.socket && !peer.asked; });
}

void Control::expire(TimePoint now) {
    if (now >= accept_at_) {
        accept_at_ = TimePoint::min();
    }
    for (Peer& peer : peers_) {
        if (now >= peer.deadline) {
            peer.socket.reset();
        }
    }
    bury();
}

TimePoint Control::nearest() const noexcept {
    TimePoint earliest = accept_at_ == TimePoint::min() ? TimePoint::max() : accept_at_;
    for (const Peer& peer : peers_) {
        // A line that waited for the answer to the one before it is in nobody's poll().
        earliest = std::min(earliest, has_line(peer) ? TimePoint{} : peer.deadline);
    }
    return earliest;
}

void Control::let_go() noexcept {
    socket_.let_go();
    peers_.clear();
}

} // namespace dotproxy
