// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/plain_query.hh"

#include "dns/frame.hh"
#include "upstream/tcp_options.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <sys/random.h>
#include <sys/socket.h>

namespace dotproxy {

namespace {

constexpr std::size_t read_size = 16384;

} // namespace

void PlainQuery::start() noexcept {
    sent_at_ = turn_.now;
    draw();
    if (!open(SOCK_DGRAM)) {
        return;
    }
    std::array<std::uint8_t, dns::max_query_size> room; // NOLINT(*-member-init): written first
    dns::Octets message;
    if (inquiry_->sealed.empty()) {
        message = std::span{room}.first(write(room));
    } else {
        dns::set_id(inquiry_->sealed, id_); // which no signature covers (RFC 8945, section 5.3)
        message = inquiry_->sealed;
    }
    endpoint_.counts().add(UpstreamCounter::queries);
    if (::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) {
        owner_.on_error(*this, "send", errno);
    }
}

/// What the answer is known by: an ID, and for each letter of the name which case it is in. Nobody
/// can foresee them.
void PlainQuery::draw() noexcept {
    constexpr std::uint8_t case_bit = 0x20;
    constexpr std::size_t bits = 8;

    struct {
        std::uint16_t id;
        std::array<std::uint8_t, dns::max_name_size / bits + 1> cases;
    } random{};

    // Of so few all come at once, once the kernel has any at all, which it had for the start.
    static_cast<void>(!::getrandom(&random, sizeof random, 0));
    id_ = random.id;
    if (!inquiry_->sealed.empty()) {
        return;
    }
    spelled_ = inquiry_->question.name;
    for (std::size_t i = 0; i < spelled_.size; ++i) {
        std::uint8_t& octet = spelled_.octets[i];
        const bool letter = octet >= 'a' && octet <= 'z'; // no length is as large
        if (letter && (random.cases[i / bits] >> i % bits & 1U) != 0) {
            octet ^= case_bit;
        }
    }
}

/// A socket that is connected to the address: who has another one is not heard. false: there is
/// none, and the owner knows.
bool PlainQuery::open(int type) noexcept {
    const Address& address = endpoint_.address();
    watching_.end();
    socket_.reset(::socket(address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket_) {
        owner_.on_error(*this, "socket", errno);
        return false;
    }
    if (type == SOCK_STREAM) {
        set_options(socket_.get(), turn_.config.timeouts.query);
    }
    if (::connect(socket_.get(), address.data(), address.size()) != 0 && errno != EINPROGRESS) {
        owner_.on_error(*this, "connect", errno);
        return false;
    }
    watching_ =
        turn_.loop.add(socket_.get(), type == SOCK_STREAM ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
    if (!watching_) {
        owner_.on_error(*this, "epoll", ENOMEM);
        return false;
    }
    return true;
}

std::size_t PlainQuery::write(dns::MutableOctets out) const noexcept {
    const std::size_t size = dns::write_plain_query(inquiry_->question, id_, endpoint_.edns(), out);
    std::ranges::copy(spelled_.view(), out.subspan(dns::header_size).begin());
    return size;
}

void PlainQuery::on_ready(std::uint32_t events) noexcept {
    if (closed()) {
        return;
    }
    if (stream_) {
        on_stream(events);
    } else {
        on_datagram();
    }
}

void PlainQuery::on_datagram() noexcept {
    const ssize_t count = ::recv(socket_.get(), turn_.scratch->data(), turn_.scratch->size(), 0);
    if (count < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            owner_.on_error(*this, "UDP", errno); // as ICMP says
        }
        return;
    }
    const auto message = std::span{*turn_.scratch}.first(static_cast<std::size_t>(count));
    if (message.size() < dns::header_size || dns::id(message) != id_ ||
        (dns::flags(message) & dns::flag::response) == 0) {
        endpoint_.counts().add(UpstreamCounter::late); // of nobody that was asked
        return;
    }
    // Who knows the ID and not the letters has guessed; one who changes them may have a reason.
    if (!matches(message) || (dns::flags(message) & dns::flag::truncated) != 0) {
        go_over_tcp();
    } else {
        take(message);
    }
}

bool PlainQuery::matches(dns::Octets message) const noexcept {
    return spelled_.size == 0 ||
           (message.size() >= dns::header_size + spelled_.size &&
            std::ranges::equal(message.subspan(dns::header_size, spelled_.size), spelled_.view()));
}

void PlainQuery::go_over_tcp() noexcept {
    stream_ = true;
    if (!open(SOCK_STREAM)) {
        return;
    }
    std::array<std::uint8_t, dns::max_query_size> room; // NOLINT(*-member-init): written first
    const dns::Octets message = inquiry_->sealed.empty() ? dns::Octets{room}.first(write(room))
                                                         : dns::Octets{inquiry_->sealed};
    std::array<std::uint8_t, dns::frame_prefix_size> prefix{};
    dns::store16(prefix, 0, static_cast<std::uint16_t>(message.size()));
    out_.append(prefix);
    out_.append(message);
}

void PlainQuery::on_stream(std::uint32_t events) noexcept {
    if ((events & EPOLLOUT) != 0) {
        flush();
    }
    if (closed() || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) {
        return;
    }
    const ssize_t count = ::recv(socket_.get(), turn_.scratch->data(), read_size, 0);
    if (count <= 0) {
        if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
            owner_.on_error(*this, "TCP", count == 0 ? ECONNRESET : errno);
        }
        return;
    }
    in_.append(std::span{*turn_.scratch}.first(static_cast<std::size_t>(count)));
    const dns::Frame frame = dns::next_frame(in_.view());
    if (frame.state == dns::Frame::State::partial) {
        return;
    }
    if (frame.state == dns::Frame::State::invalid || dns::id(frame.message) != id_) {
        owner_.on_error(*this, "TCP", EPROTO);
        return;
    }
    const auto message = std::span{*turn_.scratch}.first(frame.message.size());
    std::ranges::copy(frame.message, message.begin());
    take(message);
}

void PlainQuery::flush() noexcept {
    const auto octets = out_.view();
    const ssize_t count = ::send(socket_.get(), octets.data(), octets.size(), MSG_NOSIGNAL);
    if (count < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            owner_.on_error(*this, "TCP", errno);
        }
        return;
    }
    out_.consume(static_cast<std::size_t>(count));
    if (out_.empty()) {
        watching_.modify(EPOLLIN);
    }
}

/// A message that answers this query. What it says of DNSSEC came in the clear, and shows nothing;
/// of one that is signed nothing is changed.
void PlainQuery::take(dns::MutableOctets message) noexcept {
    if (inquiry_->sealed.empty()) {
        constexpr auto rest = static_cast<std::uint16_t>(~dns::flag::authentic_data);
        dns::set_flags(message, dns::flags(message) & rest);
    }
    dns::Response response;
    const dns::ResponseVerdict verdict =
        inquiry_->sealed.empty() ? dns::parse_response(message, inquiry_->question, response)
                                 : dns::parse_sealed_response(message, inquiry_->question);
    owner_.on_reply(*this, {.message = message, .verdict = verdict, .response = response});
}

} // namespace dotproxy
