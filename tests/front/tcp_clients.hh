// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the tests of TCP clients do again and again. Where it fails, the test does.

#pragma once

#include "unit.hh"
#include "worker/rig.hh"

#include <memory>
#include <string>

namespace dotproxy::test {

/// One upstream that answers at once.
inline Resolver& serve(Rig& rig) {
    Resolver& resolver = rig.add_upstream();
    rig.open();
    return resolver;
}

inline std::string name_of(std::size_t number) {
    return "n" + std::to_string(number) + ".example";
}

inline void exchange(Rig& rig, TcpClient& client, std::uint16_t id) {
    client.send(query("www.example", id));
    const Message answer = answer_to(rig, client);
    assert_int_equal(dotproxy::dns::id(answer), id);
    assert_int_equal(rcode(answer), 0);
}

inline bool closed(Rig& rig, TcpClient& client) {
    return rig.until([&] { return client.is_closed(); });
}

/// Connected, and known to the worker.
inline std::unique_ptr<TcpClient> connect(Rig& rig, int receive_buffer = 0) {
    const std::uint64_t before = rig.count(Counter::tcp_accepted);
    auto client = std::make_unique<TcpClient>(rig.tcp_address(), receive_buffer);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_accepted) > before; }));
    return client;
}

} // namespace dotproxy::test
