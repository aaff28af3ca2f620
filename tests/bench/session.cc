// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "bench/session.hh"

#include "dns/frame.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdexcept>
#include <sys/socket.h>

namespace dotproxy::bench {

namespace {

// A peer that does not read its answers is not read from either while so much waits for it.
constexpr std::size_t output_limit = std::size_t{1} << 20U;
constexpr std::size_t record_size = 16384;

void check(int result, const char* what) {
    if (result < 0) {
        throw std::runtime_error{std::string{what} + ": " + gnutls_strerror(result)};
    }
}

} // namespace

Session::Session(Id id, Fd fd, Host& host, Loop& loop, gnutls_certificate_credentials_t credentials,
                 gnutls_priority_t priority, const gnutls_datum_t& ticket_key)
    : id_{id}, fd_{std::move(fd)}, host_{host}, loop_{loop} {
    const int on = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    gnutls_session_t tls = nullptr;
    check(gnutls_init(&tls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL), "gnutls_init");
    tls_.reset(tls);
    check(gnutls_priority_set(tls, priority), "gnutls_priority_set");
    check(gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
    check(gnutls_session_ticket_enable_server(tls, &ticket_key), "tickets");
    std::array<unsigned char, 2> h2{'h', '2'}; // who wants frames need not say so
    const gnutls_datum_t protocol{.data = h2.data(), .size = h2.size()};
    check(gnutls_alpn_set_protocols(tls, &protocol, 1, 0), "ALPN");
    gnutls_handshake_set_timeout(tls, GNUTLS_INDEFINITE_TIMEOUT);
    gnutls_transport_set_ptr(tls, this);
    gnutls_transport_set_pull_function(tls, pull);
    gnutls_transport_set_push_function(tls, push);
    watching_ = loop_.add(fd_.get(), events_, *this);
    if (!watching_) {
        throw std::runtime_error{"epoll_ctl"};
    }
    ++host_.counters.connections;
}

Session::~Session() = default;

ssize_t Session::pull(gnutls_transport_ptr_t self, void* to, std::size_t size) noexcept {
    auto& session = *static_cast<Session*>(self);
    if (session.raw_.empty()) {
        gnutls_transport_set_errno(session.tls_.get(), EAGAIN);
        return -1;
    }
    const std::size_t count = std::min(size, session.raw_.size());
    std::memcpy(to, session.raw_.data(), count);
    session.raw_ = session.raw_.subspan(count);
    return static_cast<ssize_t>(count);
}

ssize_t Session::push(gnutls_transport_ptr_t self, const void* from, std::size_t size) noexcept {
    static_cast<Session*>(self)->output_.append({static_cast<const std::uint8_t*>(from), size});
    return static_cast<ssize_t>(size);
}

void Session::on_ready(std::uint32_t events) noexcept {
    if (state_ == State::closed) {
        return;
    }
    if ((events & ~std::uint32_t{EPOLLOUT}) != 0) {
        if (state_ == State::fresh) {
            state_ = State::held;
            want(0);
            host_.on_hello(*this);
            return;
        }
        if (state_ == State::held) {
            end(); // nothing but a hang-up is reported while no event is wanted
            return;
        }
        read_socket();
    }
    flush();
}

void Session::resume() noexcept {
    if (state_ == State::held) {
        state_ = State::handshake;
        want(EPOLLIN);
        read_socket();
        flush();
    }
}

void Session::read_socket() noexcept {
    const ssize_t count =
        ::recv(fd_.get(), host_.scratch.raw.data(), host_.scratch.raw.size(), MSG_DONTWAIT);
    if (count > 0) {
        active_ = Clock::now();
        raw_ = dns::Octets{host_.scratch.raw}.first(static_cast<std::size_t>(count));
        advance();
        raw_ = {};
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        end();
    }
}

void Session::advance() noexcept {
    if (state_ == State::handshake && !shake()) {
        return;
    }
    if (state_ == State::open) {
        read_records();
    }
}

bool Session::shake() noexcept {
    for (;;) {
        const int result = gnutls_handshake(tls_.get());
        if (result == GNUTLS_E_SUCCESS) {
            break;
        }
        if (gnutls_error_is_fatal(result) != 0) {
            flush();
            end();
            return false;
        }
        if (raw_.empty()) {
            return false;
        }
    }
    state_ = State::open;
    ++host_.counters.handshakes;
    gnutls_datum_t spoken{};
    if (gnutls_alpn_get_selected_protocol(tls_.get(), &spoken) == GNUTLS_E_SUCCESS) {
        http_ = std::make_unique<http::ServerSession>(host_.http, host_.service);
    }
    if (gnutls_session_is_resumed(tls_.get()) != 0) {
        ++host_.counters.resumed;
    }
    return true;
}

void Session::read_records() noexcept {
    auto& plain = host_.scratch.plain;
    while (state_ == State::open) {
        const ssize_t result = gnutls_record_recv(tls_.get(), plain.data(), plain.size());
        if (result > 0) {
            ++host_.counters.records;
            take(dns::Octets{plain}.first(static_cast<std::size_t>(result)));
        } else if (result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED) {
            if (raw_.empty()) { // G1: the return code alone does not say so
                return;
            }
        } else {
            close();
        }
    }
}

void Session::take(dns::Octets plain) noexcept {
    if (http_) {
        take_requests(plain);
        return;
    }
    if (partial_.empty()) {
        partial_.append(take_frames(plain));
        return;
    }
    partial_.append(plain);
    const dns::Octets stream = partial_.view();
    partial_.consume(stream.size() - take_frames(stream).size());
}

dns::Octets Session::take_frames(dns::Octets stream) noexcept {
    for (;;) {
        const dns::Frame frame = dns::next_frame(stream);
        if (frame.state == dns::Frame::State::invalid) {
            close();
            return {};
        }
        if (frame.state == dns::Frame::State::partial) {
            return stream;
        }
        hear(0, frame.message);
        stream = stream.subspan(frame.consumed);
    }
}

void Session::take_requests(dns::Octets plain) noexcept {
    static_cast<void>(http_->feed(plain));
    http::Request request;
    while (http_->next_request(request)) {
        ++host_.counters.requests;
        hear(request.stream, request.message);
    }
}

void Session::hear(std::uint32_t request, dns::Octets query) noexcept {
    ++host_.counters.queries;
    if (query.size() % 128 == 0) {
        ++host_.counters.padded;
    }
    host_.on_query(*this, request, query);
}

void Session::answer(std::uint32_t request, dns::Octets message) noexcept {
    if (http_) {
        static_cast<void>(http_->respond(request, message, host_.ttl));
        return;
    }
    const std::array<std::uint8_t, 2> prefix{static_cast<std::uint8_t>(message.size() >> 8U),
                                             static_cast<std::uint8_t>(message.size() & 0xffU)};
    answers_.append(prefix);
    answers_.append(message);
}

void Session::flush() noexcept {
    if (state_ == State::closed) {
        return;
    }
    const bool over = http_ && http_->state() != http::Server::State::open;
    if (!seal() || !send() || over) {
        end();
    } else if (state_ != State::held) {
        want((output_.size() < output_limit ? EPOLLIN : 0U) | (output_.empty() ? 0U : EPOLLOUT));
    }
}

/// Makes records of all that is to be said. false: it cannot.
bool Session::seal() noexcept {
    Buffer& plain = http_ ? http_->output() : answers_;
    for (;;) {
        if (http_) {
            static_cast<void>(http_->fill());
        }
        if (plain.empty()) {
            return true;
        }
        const dns::Octets front = plain.view().first(std::min(record_size, plain.size()));
        const ssize_t sent = gnutls_record_send(tls_.get(), front.data(), front.size());
        if (sent < 0) {
            return false;
        }
        plain.consume(static_cast<std::size_t>(sent));
    }
}

/// Writes as much as the socket takes. false: the peer is gone.
bool Session::send() noexcept {
    while (!output_.empty()) {
        const dns::Octets front = output_.view();
        const ssize_t sent =
            ::send(fd_.get(), front.data(), front.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        output_.consume(static_cast<std::size_t>(sent));
    }
    return true;
}

void Session::close() noexcept {
    if (state_ == State::open) {
        gnutls_bye(tls_.get(), GNUTLS_SHUT_WR);
        flush();
    }
    end();
}

void Session::want(std::uint32_t events) noexcept {
    if (events != events_) {
        events_ = events;
        watching_.modify(events);
    }
}

void Session::end() noexcept {
    if (state_ != State::closed) {
        state_ = State::closed;
        watching_.end();
        fd_.reset();
        host_.on_closed(*this);
    }
}

} // namespace dotproxy::bench
