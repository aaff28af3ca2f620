// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "bench/client.hh"

#include "dns/frame.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace dotproxy::bench {

namespace {

constexpr std::size_t datagram_size = 512;
constexpr std::size_t batch = 32;

} // namespace

Client::Client(Shared& shared, std::uint32_t from)
    : shared_{shared}, from_{from}, pending_(shared.ring) {}

bool Client::open() noexcept {
    const int type = shared_.transport == Transport::udp ? SOCK_DGRAM : SOCK_STREAM;
    Fd fd{::socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    sockaddr_in server{};
    server.sin_family = AF_INET;
    server.sin_port = htons(shared_.port);
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    if (shared_.transport == Transport::tcp) {
        ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (from_ != 0) {
        sockaddr_in own{};
        own.sin_family = AF_INET;
        own.sin_addr.s_addr = htonl(from_);
        ::setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) {
            return false;
        }
    }
    if (!fd ||
        (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0 &&
         errno != EINPROGRESS)) {
        return false;
    }
    fd_ = std::move(fd);
    watching_ = shared_.loop.add(fd_.get(), EPOLLIN, *this);
    if (Trust* const trust = shared_.trust) {
        unused_.clear();
        stream_ = std::make_unique<tls::ClientStream>(trust->context, trust->server,
                                                      trust->resumes ? trust->tickets : unused_);
        static_cast<void>(stream_->handshake());
        flush();
    }
    return static_cast<bool>(watching_);
}

void Client::close() noexcept {
    for (; oldest_ != newest_; ++oldest_) {
        if (pending(oldest_).waits) {
            shared_.statistics.lost(pending(oldest_).sent);
            pending(oldest_).waits = false;
        }
    }
    waiting_ = 0;
    input_.clear();
    output_.clear();
    stream_.reset();
    record_at_ = record_left_ = 0;
    blocked_ = false;
    watching_.end();
    fd_.reset();
}

dns::Octets Client::make_query(TimePoint now) noexcept {
    const dns::Octets query = shared_.names.next(static_cast<std::uint16_t>(newest_));
    pending(newest_) = {.sent = now, .name = shared_.names.last(), .waits = true};
    ++newest_;
    ++waiting_;
    shared_.statistics.sent(now);
    return query;
}

void Client::ask(std::size_t count, TimePoint now) noexcept {
    if (!fd_) {
        return;
    }
    if (shared_.transport == Transport::udp) {
        ask_udp(count, now);
    } else {
        ask_tcp(count, now);
    }
}

void Client::ask_udp(std::size_t count, TimePoint now) noexcept {
    std::array<std::array<std::uint8_t, datagram_size>, batch> queries;
    std::array<iovec, batch> pieces;
    std::array<mmsghdr, batch> messages{};
    while (count > 0 && has_room()) {
        unsigned filled = 0;
        for (; filled < batch && count > 0 && has_room(); ++filled, --count) {
            const dns::Octets query = make_query(now);
            std::copy(query.begin(), query.end(), queries[filled].begin());
            pieces[filled] = {.iov_base = queries[filled].data(), .iov_len = query.size()};
            messages[filled].msg_hdr.msg_iov = &pieces[filled];
            messages[filled].msg_hdr.msg_iovlen = 1;
        }
        // What the kernel does not take is lost, as on any network, and counted when it is overdue.
        (void)::sendmmsg(fd_.get(), messages.data(), filled, MSG_DONTWAIT);
    }
}

void Client::ask_tcp(std::size_t count, TimePoint now) noexcept {
    for (; count > 0 && has_room(); --count) {
        const dns::Octets query = make_query(now);
        std::array<std::uint8_t, dns::frame_prefix_size> prefix{};
        dns::store16(prefix, 0, static_cast<std::uint16_t>(query.size()));
        output_.append(prefix);
        output_.append(query);
    }
    flush();
}

void Client::flush() noexcept {
    if (stream_ && stream_->ready() && !output_.empty()) {
        static_cast<void>(stream_->send(output_.view()));
        output_.clear();
    }
    Buffer& output = stream_ ? stream_->output() : output_;
    while (!output.empty()) {
        const ssize_t sent =
            ::send(fd_.get(), output.view().data(), output.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            break; // a broken connection is seen by the next read
        }
        output.consume(static_cast<std::size_t>(sent));
    }
    if (output.empty() == blocked_) {
        blocked_ = !blocked_;
        watching_.modify(blocked_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

void Client::on_ready(std::uint32_t events) noexcept {
    if (!fd_) {
        return;
    }
    const TimePoint now = Clock::now();
    if ((events & EPOLLOUT) != 0) {
        flush();
    }
    const bool alive = shared_.transport == Transport::udp ? read_udp(now) : read_tcp(now);
    if (!alive) {
        close();
    }
    shared_.owner.on_room(*this, now);
}

bool Client::read_udp(TimePoint now) noexcept {
    std::array<std::array<std::uint8_t, datagram_size>, batch> answers;
    std::array<iovec, batch> pieces;
    std::array<mmsghdr, batch> messages{};
    for (std::size_t i = 0; i < batch; ++i) {
        pieces[i] = {.iov_base = answers[i].data(), .iov_len = answers[i].size()};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int count = ::recvmmsg(fd_.get(), messages.data(), batch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < count; ++i) {
        const auto at = static_cast<std::size_t>(i);
        take(dns::Octets{answers[at]}.first(messages[at].msg_len), now);
    }
    return true; // a UDP socket has no end; ECONNREFUSED means that the server is not there yet
}

bool Client::read_tcp(TimePoint now) noexcept {
    std::array<std::uint8_t, 16384> room;
    const ssize_t count = ::recv(fd_.get(), room.data(), room.size(), MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
        return false;
    }
    const auto octets =
        std::span{room}.first(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (!stream_) {
        input_.append(octets);
    } else {
        count_records(octets, now);
        if (!take_in(octets)) {
            return false;
        }
    }
    for (;;) {
        const dns::Frame frame = dns::next_frame(input_.view());
        if (frame.state != dns::Frame::State::complete) {
            return frame.state == dns::Frame::State::partial;
        }
        take(frame.message, now);
        input_.consume(frame.consumed);
    }
}

/// Opens records. false: the session is over.
bool Client::take_in(dns::Octets octets) noexcept {
    stream_->feed(octets);
    if (!stream_->ready()) {
        const tls::Io io = stream_->handshake();
        flush();
        if (io != tls::Io::done) {
            return io == tls::Io::again;
        }
    }
    std::array<std::uint8_t, 16384> plain;
    std::size_t size = 0;
    tls::Io io{};
    while ((io = stream_->receive(plain, size)) == tls::Io::done) {
        input_.append(std::span{plain}.first(size));
    }
    return io == tls::Io::again;
}

void Client::count_records(dns::Octets octets, TimePoint now) noexcept {
    while (!octets.empty()) {
        if (record_left_ == 0) {
            record_[record_at_++] = octets.front();
            octets = octets.subspan(1);
            if (record_at_ == record_.size()) {
                record_at_ = 0;
                record_left_ = dns::load16(record_, 3);
                shared_.statistics.record(now);
            }
        } else {
            const std::size_t taken = std::min(record_left_, octets.size());
            record_left_ -= taken;
            octets = octets.subspan(taken);
        }
    }
}

void Client::take(dns::Octets message, TimePoint now) noexcept {
    if (message.size() < dns::header_size || (dns::flags(message) & dns::flag::response) == 0) {
        return;
    }
    const auto back = static_cast<std::uint16_t>(newest_ - dns::id(message));
    const std::uint32_t sequence = newest_ - back;
    if (back == 0 || back > newest_ - oldest_ || !pending(sequence).waits) {
        return; // an answer to what was given up already
    }
    // Quick answers are worth nothing when they answer something else.
    const bool good = (dns::flags(message) & dns::flag::rcode_mask) == 0 &&
                      dns::ancount(message) == 1 &&
                      shared_.names.is_about(message, pending(sequence).name);
    shared_.statistics.answered(pending(sequence).sent, now, good);
    settle(sequence);
}

void Client::settle(std::uint32_t sequence) noexcept {
    pending(sequence).waits = false;
    --waiting_;
    while (oldest_ != newest_ && !pending(oldest_).waits) {
        ++oldest_;
    }
}

void Client::expire(TimePoint now) noexcept {
    while (oldest_ != newest_ && now - pending(oldest_).sent >= shared_.timeout) {
        shared_.statistics.lost(pending(oldest_).sent);
        settle(oldest_);
    }
}

} // namespace dotproxy::bench
