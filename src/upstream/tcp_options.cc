// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/tcp_options.hh"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace dotproxy {

namespace {

void set(int socket, int option, unsigned value) noexcept {
    static_cast<void>(::setsockopt(socket, IPPROTO_TCP, option, &value, sizeof value));
}

} // namespace

void set_options(int socket, Milliseconds patience) noexcept {
    set(socket, TCP_NODELAY, 1);
    set(socket, TCP_FASTOPEN_CONNECT, 1); // set here, not by GnuTLS (G16)
    set(socket, TCP_USER_TIMEOUT, static_cast<unsigned>(patience.count()));
}

void acknowledge_at_once(int socket) noexcept {
    set(socket, TCP_QUICKACK, 1);
}

} // namespace dotproxy
