// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the tests ask before they use IPv6, which not every machine has. cmocka writes a skipped
// test as one that failed, and TAP can skip a whole program: so tests of IPv6 have programs of
// their own.

#pragma once

#include "base/address.hh"
#include "base/fd.hh"

#include <cstdio>
#include <sys/socket.h>

/// Whether no socket can be bound to ::1. Such a program then ends; what it owes to TAP is written.
inline bool lacks_ipv6() {
    const dotproxy::Address address = *dotproxy::Address::parse("::1", 0);
    const dotproxy::Fd socket{::socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (socket && ::bind(socket.get(), address.data(), address.size()) == 0) {
        return false;
    }
    std::puts("1..0 # SKIP this machine has no ::1");
    return true;
}
