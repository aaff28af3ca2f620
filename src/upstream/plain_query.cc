// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/plain_query.hh"

#include "dns/frame.hh"
#include "upstream/tcp_options.hh"
#include "upstream/way_out.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <sys/random.h>
#include <sys/socket.h>

namespace dotproxy {

namespace {

constexpr std::size_t read_size = 16384;

// What goes in one packet wherever there is IPv6, as DNS Flag Day 2020 would have it.
constexpr std::size_t longest_datagram = 1232;

} // namespace

PlainQuery::Fault PlainQuery::start() noexcept {
    draw();
    return inquiry_->sealed.size() > longest_datagram ? go_over_tcp() : send_datagram();
}

PlainQuery::Fault PlainQuery::send_datagram() noexcept {
    sent_at_ = turn_.now;
    if (const Fault fault = open(SOCK_DGRAM); fault.what != nullptr) {
        return fault;
    }
    std::array<std::uint8_t, dns::max_query_size> room; // NOLINT(*-member-init): written first
    const dns::Octets message = write(room);
    endpoint_.counts().add(UpstreamCounter::queries);
    if (::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) {
        return {.what = "send", .error = errno};
    }
    return {};
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
        if (letter && (unsigned{random.cases[i / bits]} >> i % bits & 1U) != 0) {
            octet ^= case_bit;
        }
    }
}

/// A socket that is connected to the address: who has another one is not heard.
PlainQuery::Fault PlainQuery::open(int type) noexcept {
    const Address& address = endpoint_.address();
    watching_.end();
    socket_.reset(::socket(address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket_) {
        return {.what = "socket", .error = errno};
    }
    if (type == SOCK_STREAM) {
        set_options(socket_.get(), turn_.config.timeouts.query);
    }
    if (const char* const what = bind_way_out(socket_.get(), endpoint_.upstream())) {
        return {.what = what, .error = errno};
    }
    if (::connect(socket_.get(), address.data(), address.size()) != 0 && errno != EINPROGRESS) {
        return {.what = "connect", .error = errno};
    }
    watching_ =
        turn_.loop.add(socket_.get(), type == SOCK_STREAM ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
    return watching_ ? Fault{} : Fault{.what = "epoll", .error = ENOMEM};
}

/// The query as it is sent; in `room`, unless it is signed.
dns::Octets PlainQuery::write(dns::MutableOctets room) const noexcept {
    if (!inquiry_->sealed.empty()) {
        dns::set_id(inquiry_->sealed, id_); // which no signature covers (RFC 8945, section 5.3)
        return inquiry_->sealed;
    }
    const std::size_t size = dns::write_plain_query(inquiry_->question, id_, edns_, room);
    std::ranges::copy(spelled_.view(), room.subspan(dns::header_size).begin());
    return room.first(size);
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
            owner_.on_fault(*this, {.what = "UDP", .error = errno}); // as ICMP says
        }
        return;
    }
    const auto message = std::span{*turn_.scratch}.first(static_cast<std::size_t>(count));
    if (message.size() < dns::header_size || dns::id(message) != id_ ||
        (dns::flags(message) & dns::flag::response) == 0) {
        endpoint_.counts().add(UpstreamCounter::late); // of nobody that was asked
        return;
    }
    if (alone()) {
        owner_.on_sign_of_life(*this);
        return;
    }
    // Who knows the ID and not the letters has guessed; one who changes them may have a reason.
    const bool cut = !matches(message) || (dns::flags(message) & dns::flag::truncated) != 0;
    if (cut && !knows_no_edns(message)) {
        owner_.on_cut(*this);
    } else {
        take(message);
    }
}

bool PlainQuery::matches(dns::Octets message) const noexcept {
    return spelled_.size == 0 ||
           (message.size() >= dns::header_size + spelled_.size &&
            std::ranges::equal(message.subspan(dns::header_size, spelled_.size), spelled_.view()));
}

/// Whether it is a bare header by which a server says that it did not understand the query: one
/// from before EDNS (RFC 6891, section 6.2.2). Then it is asked once more, so that nobody gains
/// much by a guess.
bool PlainQuery::knows_no_edns(dns::Octets message) const noexcept {
    constexpr auto formerr = static_cast<std::uint16_t>(dns::Rcode::formerr);
    return edns_ && inquiry_->sealed.empty() && dns::qdcount(message) == 0 &&
           (dns::flags(message) & dns::flag::rcode_mask) == formerr;
}

PlainQuery::Fault PlainQuery::go_over_tcp() noexcept {
    sent_at_ = turn_.now;
    stream_ = true;
    if (const Fault fault = open(SOCK_STREAM); fault.what != nullptr) {
        return fault;
    }
    std::array<std::uint8_t, dns::max_query_size> room; // NOLINT(*-member-init): written first
    const dns::Octets message = write(room);
    std::array<std::uint8_t, dns::frame_prefix_size> prefix{};
    dns::store16(prefix, 0, static_cast<std::uint16_t>(message.size()));
    out_.append(prefix);
    out_.append(message);
    endpoint_.counts().add(UpstreamCounter::queries);
    return {};
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
            owner_.on_fault(*this, {.what = "TCP", .error = count == 0 ? ECONNRESET : errno});
        }
        return;
    }
    in_.append(std::span{*turn_.scratch}.first(static_cast<std::size_t>(count)));
    const dns::Frame frame = dns::next_frame(in_.view());
    if (frame.state == dns::Frame::State::partial) {
        return;
    }
    if (frame.state == dns::Frame::State::invalid || dns::id(frame.message) != id_) {
        owner_.on_fault(*this, {.what = "TCP", .error = EPROTO});
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
            owner_.on_fault(*this, {.what = "TCP", .error = errno});
        }
        return;
    }
    out_.consume(static_cast<std::size_t>(count));
    if (out_.empty()) {
        watching_.modify(EPOLLIN);
    }
}

/// A message that answers this query. What it says of DNSSEC came in the clear, and shows nothing;
/// in one that is signed nothing can be changed.
void PlainQuery::take(dns::MutableOctets message) noexcept {
    constexpr auto rest = static_cast<std::uint16_t>(~dns::flag::authentic_data);
    dns::Response response;
    dns::ResponseVerdict verdict = dns::ResponseVerdict::accepted;
    if (inquiry_->sealed.empty()) {
        dns::set_flags(message, dns::flags(message) & rest);
        verdict = dns::parse_response(message, inquiry_->question, response);
        if (is_readable(verdict)) {
            dns::respell_owners(message, response, inquiry_->question.name);
        }
    } else {
        verdict = dns::parse_sealed_response(message, inquiry_->question);
        if (verdict == dns::ResponseVerdict::accepted && !dns::is_signed(message)) {
            dns::set_flags(message, dns::flags(message) & rest);
        }
    }
    owner_.on_reply(*this, {.message = message, .verdict = verdict, .response = response});
}

} // namespace dotproxy
