// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the tests of listeners ask of sockets, whatever the family.

#pragma once

#include "base/address.hh"
#include "base/fd.hh"
#include "unit.hh"

#include <cstdint>
#include <sys/socket.h>

inline dotproxy::Address parse(const char* literal, std::uint16_t port = 0) {
    return *dotproxy::Address::parse(literal, port);
}

inline int option(const dotproxy::Fd& socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    assert_int_equal(::getsockopt(socket.get(), level, name, &value, &size), 0);
    return value;
}

/// A bound socket as a service manager makes one: blocking and inheritable.
inline dotproxy::Fd bound(const char* literal, int type) {
    const dotproxy::Address address = parse(literal);
    dotproxy::Fd socket{::socket(address.family(), type, 0)};
    assert_int_equal(::bind(socket.get(), address.data(), address.size()), 0);
    return socket;
}
