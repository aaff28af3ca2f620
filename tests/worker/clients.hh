// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Clients of dotproxy: real sockets that never wait.

#pragma once

#include "base/address.hh"
#include "base/fd.hh"
#include "dns/messages.hh"

#include <array>
#include <cerrno>
#include <cstdint>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <span>
#include <sys/socket.h>
#include <utility>
#include <vector>

namespace dotproxy::test {

using Message = std::vector<std::uint8_t>;

[[nodiscard]] inline unsigned rcode(const Message& message) {
    return message.size() < dns::header_size ? 0xffffU
                                             : dns::flags(message) & dns::flag::rcode_mask;
}

/// A query with this ID.
[[nodiscard]] inline Message query(std::string_view name, std::uint16_t id,
                                   std::uint16_t type = dns::type::a) {
    dns::test::Message made = dns::test::query(name, type);
    dns::set_id(made.mutable_octets(), id);
    return {made.octets().begin(), made.octets().end()};
}

class UdpClient {
  public:
    explicit UdpClient(const Address& server, const std::optional<Address>& from = std::nullopt)
        : socket_{::socket(server.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)} {
        if (from) {
            static_cast<void>(::bind(socket_.get(), from->data(), from->size()));
        }
        static_cast<void>(::connect(socket_.get(), server.data(), server.size()));
    }

    void send(std::span<const std::uint8_t> message) const {
        static_cast<void>(::send(socket_.get(), message.data(), message.size(), 0));
    }

    /// The next answer; empty when there is none.
    [[nodiscard]] Message receive() const {
        Message message(65536);
        const ssize_t count = ::recv(socket_.get(), message.data(), message.size(), 0);
        message.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
        return message;
    }

    /// The same into `room`: its size, 0 when there is none.
    [[nodiscard]] std::size_t receive_into(std::span<std::uint8_t> room) const {
        const ssize_t count = ::recv(socket_.get(), room.data(), room.size(), 0);
        return count > 0 ? static_cast<std::size_t>(count) : 0;
    }

  private:
    Fd socket_;
};

class TcpClient {
  public:
    /// `receive_buffer`: octets the kernel holds for it, 0 for the default. Where it is given,
    /// segments are small as well: the server's kernel holds a number of segments, not of octets.
    explicit TcpClient(const Address& server, int receive_buffer = 0,
                       const std::optional<Address>& source = std::nullopt)
        : socket_{::socket(server.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)} {
        if (receive_buffer != 0) {
            ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer,
                         sizeof receive_buffer);
            constexpr int small_segment = 536;
            ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_MAXSEG, &small_segment,
                         sizeof small_segment);
        }
        if (source) {
            static_cast<void>(::bind(socket_.get(), source->data(), source->size()));
        }
        static_cast<void>(::connect(socket_.get(), server.data(), server.size()));
    }

    /// Octets as they are; returns how many the kernel took.
    std::size_t send_raw(std::span<const std::uint8_t> octets) const {
        const ssize_t count =
            ::send(socket_.get(), octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        return count > 0 ? static_cast<std::size_t>(count) : 0;
    }

    /// One message in its frame.
    std::size_t send(const Message& message) const { return send_raw(frame(message)); }

    [[nodiscard]] static Message frame(const Message& message) {
        Message made{static_cast<std::uint8_t>(message.size() >> 8U),
                     static_cast<std::uint8_t>(message.size() & 0xffU)};
        made.insert(made.end(), message.begin(), message.end());
        return made;
    }

    /// The next whole answer; empty when there is none yet.
    [[nodiscard]] Message receive() {
        read();
        if (held_.size() < 2 || held_.size() < 2U + dns::load16(held_, 0)) {
            return {};
        }
        const auto end = held_.begin() + 2 + dns::load16(held_, 0);
        Message message{held_.begin() + 2, end};
        held_.erase(held_.begin(), end);
        return message;
    }

    /// Octets as they came; empty when there are none yet.
    [[nodiscard]] Message take_raw() {
        read();
        return std::exchange(held_, {});
    }

    /// Takes no more than so many octets from the kernel and throws them away; how many it took.
    std::size_t discard(std::size_t most) const {
        Message octets(most);
        const ssize_t count = ::recv(socket_.get(), octets.data(), most, MSG_DONTWAIT);
        return count > 0 ? static_cast<std::size_t>(count) : 0;
    }

    /// Whether the server has closed the connection, and how.
    [[nodiscard]] bool is_closed() {
        read();
        return closed_;
    }

    /// Whether it did so by RST.
    [[nodiscard]] bool is_reset() {
        read();
        return reset_;
    }

    void end_writing() const { ::shutdown(socket_.get(), SHUT_WR); }

    void close() { socket_.reset(); }

    /// Closes with RST.
    void reset() {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        socket_.reset();
    }

  private:
    void read() {
        std::array<std::uint8_t, 65536> octets{};
        for (;;) {
            const ssize_t count = ::recv(socket_.get(), octets.data(), octets.size(), MSG_DONTWAIT);
            if (count <= 0) {
                reset_ = reset_ || (count < 0 && errno == ECONNRESET);
                closed_ = closed_ || count == 0 || errno != EAGAIN;
                return;
            }
            held_.insert(held_.end(), octets.begin(), octets.begin() + count);
            // Acknowledged at once: no time passes in which the kernel would do it.
            constexpr int at_once = 1;
            ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_QUICKACK, &at_once, sizeof at_once);
        }
    }

    Fd socket_;
    Message held_;
    bool closed_{false};
    bool reset_{false};
};

} // namespace dotproxy::test
