// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/way_out.hh"

#include <netinet/in.h>
#include <sys/socket.h>

namespace dotproxy {

const char* bind_way_out(int socket, const UpstreamConfig& upstream) noexcept {
    if (!upstream.interface.empty() &&
        ::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, upstream.interface.data(),
                     static_cast<socklen_t>(upstream.interface.size())) != 0) {
        return "interface";
    }
    if (!upstream.source) {
        return nullptr;
    }
    // Else there are no more connections from it, to whomever, than there are ports.
    constexpr int on = 1;
    static_cast<void>(::setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on));
    const Address& source = *upstream.source;
    return ::bind(socket, source.data(), source.size()) == 0 ? nullptr : "source";
}

} // namespace dotproxy
