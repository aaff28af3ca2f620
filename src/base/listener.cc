// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/listener.hh"

#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <system_error>

namespace dotproxy {

namespace {

// A burst of small datagrams is charged about 768 octets each; this holds a few thousand.
constexpr int receive_buffer = 4 << 20;
constexpr int send_buffer = 1 << 20;
constexpr int backlog = 4096;
constexpr int fast_open_queue = 256;

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error{errno, std::generic_category(), what};
}

bool set(int fd, int level, int name, int value) noexcept {
    return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/// The value of an option; 0 where it cannot be had.
int option(int fd, int level, int name) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : 0;
}

void grow_buffer(int fd, int forced, int asked, int size) noexcept {
    // The forced form passes the system's limit and needs a privilege; the other does what it can.
    if (!set(fd, SOL_SOCKET, forced, size)) {
        set(fd, SOL_SOCKET, asked, size);
    }
}

void set_up_udp(const Listener& listener) {
    const int fd = listener.socket.get();
    grow_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receive_buffer);
    grow_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, send_buffer);
    // No path MTU probing with answers: they are small enough not to be fragmented (C38).
    if (listener.address.is_v6()) {
        set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
    } else {
        set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
    }
    if (listener.address.is_wildcard()) {
        // The answer must leave from the address that was asked (C37).
        const bool known = listener.address.is_v6() ? set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                                                    : set(fd, IPPROTO_IP, IP_PKTINFO, 1);
        if (!known) {
            fail(listener.text() + ": packet information");
        }
    }
}

void set_up_tcp(const Listener& listener) {
    const int fd = listener.socket.get();
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1); // accepted sockets inherit it
    set(fd, IPPROTO_TCP, TCP_FASTOPEN, fast_open_queue);
}

void set_up(const Listener& listener) {
    if (listener.protocol == Protocol::udp) {
        set_up_udp(listener);
    } else {
        set_up_tcp(listener);
    }
}

} // namespace

std::string Listener::text() const {
    return (protocol == Protocol::udp ? "udp " : "tcp ") + address.text();
}

bool Listener::covers(Protocol its_protocol, const Address& other) const noexcept {
    return protocol == its_protocol &&
           (address.covers(other) ||
            (dual_stack && address.is_wildcard() && address.port() == other.port()));
}

bool Listener::overlaps(Protocol its_protocol, const Address& other) const noexcept {
    return covers(its_protocol, other) || (protocol == its_protocol && other.covers(address));
}

void Listener::suspend() const noexcept {
    if (protocol == Protocol::tcp) {
        ::shutdown(socket.get(), SHUT_RD);
        return;
    }
    // With itself as its only peer there is nobody to take a datagram from. Where the address is on
    // no interface this fails, and nothing comes in either.
    static_cast<void>(::connect(socket.get(), address.data(), address.size()));
}

bool Listener::resume() const noexcept {
    if (!is_suspended()) {
        return true;
    }
    // Linux forgets the peer's port alone when it disconnects an IPv6 socket of UDP, and goes on to
    // match its address.
    return protocol == Protocol::tcp && ::listen(socket.get(), backlog) == 0;
}

bool Listener::is_suspended() const noexcept {
    if (protocol == Protocol::tcp) {
        return option(socket.get(), SOL_SOCKET, SO_ACCEPTCONN) == 0;
    }
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    return ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0;
}

void Listener::share_port(bool shared) const noexcept {
    set(socket.get(), SOL_SOCKET, SO_REUSEPORT, shared ? 1 : 0);
}

Listener open_listener(Protocol protocol, const Address& address, Beside beside) {
    Listener listener{.protocol = protocol, .address = address, .socket = {}};
    const int type = protocol == Protocol::udp ? SOCK_DGRAM : SOCK_STREAM;
    listener.socket.reset(::socket(address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int fd = listener.socket.get();
    if (fd < 0) {
        fail(listener.text());
    }
    if (address.is_v6()) {
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        set(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
    } else {
        set(fd, IPPROTO_IP, IP_FREEBIND, 1);
    }
    if (protocol == Protocol::tcp) {
        set(fd, SOL_SOCKET, SO_REUSEADDR,
            1); // connections of a previous run may still be in TIME_WAIT
    }
    listener.share_port(beside == Beside::sharers);
    if (::bind(fd, address.data(), address.size()) != 0) {
        fail(listener.text());
    }
    set_up(listener);
    if (protocol == Protocol::tcp && ::listen(fd, backlog) != 0) {
        fail(listener.text());
    }
    listener.share_port(false);
    return listener;
}

Listener adopt_listener(Fd socket) {
    int type = 0;
    socklen_t type_size = sizeof type;
    sockaddr_storage name{};
    socklen_t name_size = sizeof name;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 ||
        ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &name_size) != 0) {
        fail("passed socket");
    }
    const auto address = Address::from(name);
    const bool listening = option(socket.get(), SOL_SOCKET, SO_ACCEPTCONN) != 0;
    if (!address || (type != SOCK_DGRAM && (type != SOCK_STREAM || !listening))) {
        errno = EPROTONOSUPPORT;
        fail("passed socket");
    }
    const int flags = ::fcntl(socket.get(), F_GETFL);
    if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0 ||
        ::fcntl(socket.get(), F_SETFD, FD_CLOEXEC) != 0) {
        fail("passed socket");
    }
    const bool dual_stack =
        address->is_v6() && option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY) == 0;
    Listener listener{.protocol = type == SOCK_DGRAM ? Protocol::udp : Protocol::tcp,
                      .address = *address,
                      .socket = std::move(socket),
                      .dual_stack = dual_stack};
    set_up(listener);
    return listener;
}

} // namespace dotproxy
