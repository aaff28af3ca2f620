// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "proxy/connection.hh"

#include "dns/frame.hh"
#include "dns/query.hh"
#include "proxy/relay.hh"
#include "proxy/upstreams.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <system_error>

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
// A connection that has carried nothing yet is kept at least this long, whatever is configured.
constexpr Clock::duration first_use_time = 1s;
// A connection for questions that broke one is not kept (see Upstreams).
constexpr Clock::duration side_lane_idle = 1s;

std::string system_reason(const char* what, int error) {
    return std::string{what} + ": " + std::system_category().message(error);
}

void set_option(int fd, int level, int name, unsigned value) noexcept {
    // Each is an improvement, none a condition.
    static_cast<void>(::setsockopt(fd, level, name, &value, sizeof value));
}

} // namespace

Connection::Connection(Turn& turn, Upstreams& upstreams, Endpoint& endpoint,
                       const tls::ClientContext& context, unsigned lane,
                       std::uint16_t id_mask) noexcept
    : turn_{turn}, upstreams_{upstreams}, endpoint_{endpoint},
      stream_{context, endpoint.identity(), endpoint.tickets()}, slots_{id_mask},
      idle_limit_{lane == 0 ? Clock::duration{turn.config.timeouts.upstream_idle}
                            : std::min(Clock::duration{turn.config.timeouts.upstream_idle},
                                       side_lane_idle)},
      lane_{lane} {}

Connection::~Connection() {
    if (socket_) {
        turn_.loop.remove(socket_.get());
    }
}

void Connection::start() noexcept {
    turn_.counters.add(Counter::upstream_connects);
    const Address& address = endpoint_.address();
    deadline_ = turn_.now + turn_.config.timeouts.connect;
    socket_.reset(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket_) {
        end(Trouble::unreachable, system_reason("socket", errno));
        return;
    }
    const int fd = socket_.get();
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1); // set here, not by GnuTLS (G16)
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
               static_cast<unsigned>(turn_.config.timeouts.query.count()));
    const bool connected = ::connect(fd, address.data(), address.size()) == 0;
    if (!connected && errno != EINPROGRESS) {
        end(Trouble::unreachable, system_reason("connect", errno));
        return;
    }
    events_ = connected ? EPOLLIN : EPOLLOUT;
    if (!turn_.loop.add(fd, events_, *this)) {
        end(Trouble::unreachable, system_reason("epoll", errno));
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
        upstreams_.mark_dirty(*this);
    }
}

void Connection::on_connected() noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (error != 0) {
        end(Trouble::unreachable, system_reason("connect", error));
        return;
    }
    state_ = State::handshaking;
    watch(EPOLLIN);
    take_in();
}

void Connection::on_readable() noexcept {
    const ssize_t count = ::recv(socket_.get(), turn_.scratch->data(), turn_.scratch->size(), 0);
    if (count < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            end(Trouble::unreachable, system_reason("connection", errno));
        }
        return;
    }
    if (count == 0) {
        stream_.feed_end();
    } else {
        upstreams_.mark_dirty(*this);
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
        upstreams_.mark_dirty(*this);
        if (progress == tls::Io::again) {
            return;
        }
        if (progress != tls::Io::done) {
            end(stream_.failure() == tls::Failure::untrusted ? Trouble::untrusted
                                                             : Trouble::unreachable,
                stream_.reason());
            return;
        }
        on_verified();
    }
    for (;;) {
        std::size_t size = 0;
        switch (stream_.receive(*turn_.plain, size)) {
        case tls::Io::done:
            read_frames(std::span{*turn_.plain}.first(size));
            if (state_ == State::closed) {
                return;
            }
            continue;
        case tls::Io::again:
            if (fruitless_ > most_fruitless) {
                turn_.counters.add(Counter::upstream_broken);
                end(Trouble::unreachable, "sends much and no answers");
            }
            set_deadline();
            return;
        case tls::Io::closed:
            end(Trouble::unreachable, "closed by the upstream");
            return;
        case tls::Io::failed:
            end(Trouble::unreachable, stream_.reason());
            return;
        }
    }
}

void Connection::on_verified() noexcept {
    turn_.counters.add(Counter::upstream_handshakes);
    if (stream_.resumed()) {
        turn_.counters.add(Counter::upstream_resumed);
    }
    if (endpoint_.trouble() == Trouble::silent) {
        state_ = State::proving;
        send_probe();
    } else {
        become_ready();
    }
}

void Connection::send_probe() noexcept {
    dns::Question question{};
    question.name.size = 1;
    question.name.octets[0] = 0;
    question.type = dns::type::ns;
    question.klass = dns::klass::in;
    question.recursion_desired = true;
    probe_ = slots_.take(nullptr);
    std::array<std::uint8_t, dns::max_query_size> message; // NOLINT(*-member-init)
    const std::size_t size = dns::write_query(question, slots_.wire_id(probe_), false, message);
    queue_frame(std::span{message}.first(size));
    upstreams_.mark_dirty(*this);
}

void Connection::become_ready() noexcept {
    state_ = State::ready;
    idle_since_ = turn_.now;
    set_deadline();
    upstreams_.on_ready(*this);
}

bool Connection::has_room() const noexcept {
    return state_ == State::ready && slots_.taken() < Slots::capacity &&
           queued_.size() + stream_.output().size() < output_limit;
}

void Connection::send(Inquiry& inquiry) noexcept {
    const std::uint16_t slot = slots_.take(&inquiry);
    if (inquiry.sealed.empty()) {
        std::array<std::uint8_t, dns::max_query_size> message; // NOLINT(*-member-init)
        const std::size_t size =
            dns::write_query(inquiry.question, slots_.wire_id(slot), !keepalive_asked_, message);
        keepalive_asked_ = true;
        queue_frame(std::span{message}.first(size));
    } else {
        dns::set_id(inquiry.sealed, slots_.wire_id(slot));
        queue_frame(inquiry.sealed);
    }
    unsent_.push_back(slot);
    inquiry.add_place(*this, slot);
    inquiry.sent_at = turn_.now;
    used_ = true;
    set_deadline();
    upstreams_.mark_dirty(*this);
}

void Connection::queue_frame(dns::Octets message) noexcept {
    const std::span<std::uint8_t> room = queued_.grow(dns::frame_prefix_size + message.size());
    dns::store16(room, 0, static_cast<std::uint16_t>(message.size()));
    std::copy(message.begin(), message.end(), room.begin() + dns::frame_prefix_size);
}

void Connection::free_slot(std::uint16_t slot) noexcept {
    slots_.free(slot);
    if (in_flight() == 0) {
        on_nothing_in_flight();
    }
}

void Connection::forget(std::uint16_t slot) noexcept {
    slots_.forget(slot);
    if (in_flight() == 0) {
        on_nothing_in_flight();
    }
    // In a side lane the question that was never answered may still be at work there.
    if (state_ == State::ready && (lane_ > 0 || slots_.forgotten() >= most_forgotten)) {
        retire();
    }
}

void Connection::on_nothing_in_flight() noexcept {
    idle_since_ = turn_.now;
    if (state_ == State::retiring) {
        deadline_ = turn_.now; // closed in this turn or the next, not under the caller's hands
    } else {
        set_deadline();
    }
}

void Connection::read_frames(dns::Octets plain) noexcept {
    heard_at_ = turn_.now;
    if (partial_.empty()) {
        const std::size_t used = consume_frames(plain);
        if (used < plain.size() && state_ != State::closed) {
            partial_.append(plain.subspan(used));
            partial_since_ = turn_.now;
        }
        return;
    }
    partial_.append(plain);
    const std::size_t used = consume_frames(partial_.view());
    if (used > 0 && state_ != State::closed) {
        partial_.consume(used);
        partial_since_ = turn_.now;
        partial_.release();
    }
}

std::size_t Connection::consume_frames(dns::Octets stream) noexcept {
    std::size_t used = 0;
    while (state_ != State::closed) {
        const dns::Frame frame = dns::next_frame(stream.subspan(used));
        if (frame.state == dns::Frame::State::invalid) {
            turn_.counters.add(Counter::upstream_broken);
            end(Trouble::unreachable, "sent a frame that holds no DNS message");
        }
        if (frame.state != dns::Frame::State::complete) {
            break;
        }
        used += frame.consumed;
        fruitless_ = 0;
        on_message(frame.message);
    }
    return used;
}

void Connection::on_message(dns::Octets message) noexcept {
    std::uint16_t slot = Slots::none;
    switch (slots_.find(dns::id(message), slot)) {
    case Slots::Meaning::unknown:
        // The stream has shifted or makes no sense (L83).
        turn_.counters.add(Counter::upstream_broken);
        end(Trouble::unreachable, "answered what was not asked");
        break;
    case Slots::Meaning::late:
        turn_.counters.add(Counter::upstream_late); // a second answer to the same query (L85)
        break;
    case Slots::Meaning::in_flight:
        on_answer(slot, message);
        break;
    }
}

void Connection::on_answer(std::uint16_t slot, dns::Octets message) noexcept {
    Inquiry* inquiry = slots_[slot].inquiry;
    if (inquiry == nullptr) {
        free_slot(slot);
        if (slot == probe_ && state_ == State::proving) {
            probe_ = Slots::none;
            ++answers_;
            upstreams_.on_answer(*this);
            become_ready();
        } else {
            turn_.counters.add(Counter::upstream_late);
        }
        return;
    }
    dns::Response response;
    const dns::ResponseVerdict verdict =
        inquiry->sealed.empty() ? dns::parse_response(message, inquiry->question, response)
                                : dns::parse_sealed_response(message, inquiry->question);
    if (verdict == dns::ResponseVerdict::ignored) {
        turn_.counters.add(Counter::upstream_refused);
        return;
    }
    if (verdict == dns::ResponseVerdict::foreign) {
        turn_.counters.add(Counter::upstream_broken);
        end(Trouble::unreachable, "answered another question than was asked");
        return;
    }
    turn_.counters.add(Counter::upstream_answers);
    ++answers_;
    upstreams_.on_answer(*this);
    inquiry->remove_place(*this);
    if (verdict == dns::ResponseVerdict::accepted) {
        note_keepalive(response);
    }
    upstreams_.relay().answered(*inquiry, message, verdict, response);
    free_slot(slot);
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
    if (!queued_.empty()) {
        const std::size_t size = queued_.size();
        if (stream_.send(queued_.view()) != tls::Io::done) {
            end(Trouble::unreachable, stream_.reason());
            return;
        }
        queued_.clear();
        for (const std::uint16_t slot : unsent_) {
            slots_[slot].sent = true;
        }
        turn_.counters.add(Counter::upstream_queries, unsent_.size());
        turn_.counters.add(Counter::upstream_records, (size + 16383) / 16384);
        unsent_.clear();
    } else if (in_flight() > 0) {
        // Nothing to send that would carry the acknowledgement, and more answers due: a peer that
        // holds them back until it is acknowledged (Nagle) must not wait for the delayed one, 40
        // ms.
        set_option(socket_.get(), IPPROTO_TCP, TCP_QUICKACK, 1);
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
            end(Trouble::unreachable, system_reason("connection", errno));
            return;
        }
    }
    watch(output.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void Connection::watch(std::uint32_t events) noexcept {
    if (events != events_) {
        events_ = events;
        turn_.loop.modify(socket_.get(), events, *this);
    }
}

void Connection::set_deadline() noexcept {
    if (state_ != State::ready) {
        return; // the others keep the deadline of the step they are in
    }
    if (!partial_.empty()) {
        // Whatever else goes on, a frame that was begun must come to its end (L84).
        deadline_ = partial_since_ + Patience::upstream(turn_.config);
    } else if (in_flight() == 0) {
        deadline_ = idle_since_ + (used_ ? idle_limit_ : std::max(idle_limit_, first_use_time));
    } else {
        deadline_ = TimePoint::max();
    }
}

void Connection::on_deadline() noexcept {
    switch (state_) {
    case State::connecting:
        end(Trouble::unreachable, "no connection in time");
        break;
    case State::handshaking:
        end(Trouble::unreachable, "no TLS handshake in time");
        break;
    case State::proving:
        end(Trouble::silent, "no answer to a probe");
        break;
    case State::ready:
        if (partial_.empty()) {
            close();
        } else {
            turn_.counters.add(Counter::upstream_broken);
            end(Trouble::silent, "began an answer and did not end it");
        }
        break;
    case State::retiring:
        close();
        break;
    case State::closed:
        break;
    }
}

void Connection::retire() noexcept {
    if (state_ != State::ready) {
        return;
    }
    state_ = State::retiring;
    deadline_ = in_flight() == 0 ? turn_.now : turn_.now + turn_.config.timeouts.query;
}

void Connection::end(Trouble trouble, std::string reason) noexcept {
    if (state_ == State::closed) {
        return;
    }
    const State was = std::exchange(state_, State::closed);
    deadline_ = TimePoint::max();
    if (socket_) {
        // What the session has to say at its end, an alert or close_notify, if it goes out at once.
        const auto octets = stream_.output().view();
        if (!octets.empty()) {
            static_cast<void>(::send(socket_.get(), octets.data(), octets.size(), MSG_NOSIGNAL));
        }
        turn_.loop.remove(socket_.get());
        socket_.reset();
    }
    upstreams_.on_closed(*this, was, trouble, std::move(reason));
}

} // namespace dotproxy
