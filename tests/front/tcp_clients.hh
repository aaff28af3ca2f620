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

/// Answers with a record of so many octets.
inline void answer_with(Resolver& resolver, const Asked& asked, std::size_t size) {
    dns::test::Message message = right_answer(asked);
    message.pointer(dns::header_size);
    message.u16(dns::type::txt).u16(1).u32(300).u16(static_cast<unsigned>(size));
    message.fill(size, 0); // strings of no octets
    message.count(dns::test::Section::answer);
    resolver.send(asked.session, message.octets());
}

/// Answers with so many octets each until the worker asks no more, though it waits for none of
/// them. Returns how many.
inline std::size_t answer_all(Rig& rig, Resolver& resolver, std::size_t size) {
    std::size_t answered = 0;
    std::size_t quiet = 0;
    assert_true(rig.until([&] {
        quiet = rig.relay().idle() ? quiet + 1 : 0;
        for (; !resolver.asked.empty(); ++answered) {
            quiet = 0;
            answer_with(resolver, resolver.take(), size);
        }
        return quiet == 20;
    }));
    return answered;
}

} // namespace dotproxy::test
