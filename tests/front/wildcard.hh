// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A UDP front that listens on all addresses, and a client that takes an answer from none but the
// one it asked, for test programs alone.

#pragma once

#include "front/udp_front.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <cstdint>
#include <sys/epoll.h>
#include <sys/socket.h>

/// A front of its own on a wildcard address, among the rig's others.
struct Wildcard {
    Wildcard(Rig& rig, const char* literal)
        : listener{dotproxy::open_listener(dotproxy::Protocol::udp,
                                           *dotproxy::Address::parse(literal, 0))},
          front{turn, rig.gate(), rig.relay(), courtesy, listener} {
        sockaddr_storage name{};
        socklen_t size = sizeof name;
        assert_int_equal(
            ::getsockname(listener.socket.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
        port = dotproxy::Address::from(name)->port();
    }

    dotproxy::Config config{};
    dotproxy::CounterRegion region{1};
    dotproxy::CounterLease counters{region.lease(1, {})};
    dotproxy::Turn turn{config, counters.slot(0)};
    dotproxy::Courtesy courtesy{turn, counters};
    dotproxy::Listener listener;
    dotproxy::UdpFront front;
    std::uint16_t port{0};
};

/// Asks for a name that is answered here, at `server`; the client's socket is connected, so that
/// the kernel drops an answer from any other address.
inline void expect_answer_from(Wildcard& wildcard, const char* server) {
    const UdpClient client{*dotproxy::Address::parse(server, wildcard.port)};
    Message update = query("www.example", 7);
    update[2] = 5 << 3; // UPDATE: NOTIMP, without an upstream
    client.send(update);
    Message answer;
    for (int i = 0; answer.empty() && i < 5000; ++i) {
        wildcard.front.on_ready(EPOLLIN);
        wildcard.front.flush();
        answer = client.receive();
    }
    assert_int_equal(dotproxy::dns::id(answer), 7);
}
