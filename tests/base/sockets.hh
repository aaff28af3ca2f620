// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the tests of listeners ask of sockets, whatever the family.

#pragma once

#include "base/address.hh"
#include "base/fd.hh"
#include "base/listener.hh"
#include "unit.hh"

#include <cstdint>
#include <sys/socket.h>
#include <system_error>

inline dotproxy::Address parse(const char* literal, std::uint16_t port = 0) {
    return *dotproxy::Address::parse(literal, port);
}

inline int option(const dotproxy::Fd& socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    assert_int_equal(::getsockopt(socket.get(), level, name, &value, &size), 0);
    return value;
}

/// `literal` with a port that nobody has for either protocol, neither there nor for all addresses
/// of its family. The kernel gives it out by itself: it is not used by others for long, if at all.
inline dotproxy::Address free_address(const char* literal) {
    using dotproxy::open_listener;
    using dotproxy::Protocol;
    const char* const wildcard = parse(literal).is_v6() ? "::" : "0.0.0.0";
    for (;;) {
        const dotproxy::Listener any = open_listener(Protocol::udp, parse(wildcard));
        sockaddr_storage name{};
        socklen_t size = sizeof name;
        assert_int_equal(::getsockname(any.socket.get(), reinterpret_cast<sockaddr*>(&name), &size),
                         0);
        const std::uint16_t port = dotproxy::Address::from(name)->port();
        try {
            (void)open_listener(Protocol::tcp, parse(wildcard, port));
        } catch (const std::system_error&) {
            continue;
        }
        return parse(literal, port);
    }
}

/// Sends a datagram to a UDP socket's address, or connects to a TCP one's, and returns the client.
inline dotproxy::Fd knock(dotproxy::Protocol protocol, const dotproxy::Address& address) {
    const bool udp = protocol == dotproxy::Protocol::udp;
    dotproxy::Fd client{
        ::socket(address.family(), (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0)};
    assert_int_equal(::connect(client.get(), address.data(), address.size()), 0);
    if (udp) {
        assert_int_equal(::send(client.get(), "x", 1, 0), 1);
    }
    return client;
}

/// Whether somebody has knocked at `listener`, who is taken out of its queue.
inline bool was_knocked_at(const dotproxy::Listener& listener) {
    if (listener.protocol == dotproxy::Protocol::tcp) {
        return bool{dotproxy::Fd{::accept(listener.socket.get(), nullptr, nullptr)}};
    }
    char octet = 0;
    return ::recv(listener.socket.get(), &octet, 1, MSG_DONTWAIT) == 1;
}

/// Binds `second` beside `first`, which overlap.
inline dotproxy::Listener open_beside(const dotproxy::Listener& first,
                                      const dotproxy::Address& second) {
    first.share_port(true);
    dotproxy::Listener listener = open_listener(first.protocol, second, dotproxy::Beside::sharers);
    first.share_port(false);
    return listener;
}

/// In both orders, for both protocols.
inline void assert_bound_beside(const char* narrow, const char* wide) {
    for (const dotproxy::Protocol protocol : {dotproxy::Protocol::udp, dotproxy::Protocol::tcp}) {
        for (const bool wide_first : {false, true}) {
            const dotproxy::Address closer = free_address(narrow);
            const dotproxy::Address other = parse(wide, closer.port());
            const auto first = open_listener(protocol, wide_first ? other : closer);
            const auto second = open_beside(first, wide_first ? closer : other);
            const dotproxy::Fd client = knock(protocol, closer);
            assert_true(was_knocked_at(wide_first ? second : first));
            assert_false(was_knocked_at(wide_first ? first : second));
        }
    }
}

inline void assert_suspended_in_favour(const char* narrow, const char* wide) {
    for (const dotproxy::Protocol protocol : {dotproxy::Protocol::udp, dotproxy::Protocol::tcp}) {
        const auto first = open_listener(protocol, free_address(narrow));
        const auto second = open_beside(first, parse(wide, first.address.port()));
        assert_false(first.is_suspended());
        assert_true(first.resume()); // nothing to undo
        for (const auto* one : {&first, &second}) {
            const auto* other = one == &first ? &second : &first;
            one->suspend();
            assert_true(one->is_suspended());
            const dotproxy::Fd before = knock(protocol, first.address);
            assert_true(was_knocked_at(*other));
            if (protocol == dotproxy::Protocol::udp) {
                assert_false(one->resume());
                break;
            }
            one->share_port(true);
            other->share_port(true);
            assert_true(one->resume());
            assert_false(one->is_suspended());
            one->share_port(false);
            other->share_port(false);
            const dotproxy::Fd after = knock(protocol, first.address);
            assert_true(was_knocked_at(first)); // the closer one
        }
    }
}

/// A bound socket as a service manager makes one: blocking and inheritable.
inline dotproxy::Fd bound(const char* literal, int type) {
    const dotproxy::Address address = parse(literal);
    dotproxy::Fd socket{::socket(address.family(), type, 0)};
    assert_int_equal(::bind(socket.get(), address.data(), address.size()), 0);
    return socket;
}
