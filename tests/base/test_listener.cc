// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/listener.hh"

#include "base/sockets.hh"
#include "unit.hh"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <optional>
#include <string>
#include <system_error>

using dotproxy::Address;
using dotproxy::adopt_listener;
using dotproxy::Beside;
using dotproxy::Fd;
using dotproxy::Listener;
using dotproxy::open_listener;
using dotproxy::Protocol;

namespace {

Address local(const Fd& socket) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    assert_int_equal(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
    return *Address::from(name);
}

void assert_never_blocks_and_is_not_inherited(const Fd& socket) {
    assert_true((::fcntl(socket.get(), F_GETFL) & O_NONBLOCK) != 0);
    assert_true((::fcntl(socket.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

/// What the attempt is refused with; empty text: it was not refused.
struct Refusal {
    int error{0};
    std::string text;
};

template <class Attempt>
Refusal refusal(Attempt attempt) {
    try {
        (void)attempt();
    } catch (const std::system_error& problem) {
        return {problem.code().value(), problem.what()};
    }
    return {};
}

void test_open_udp_then_a_datagram_comes_in(void** /*state*/) {
    const Listener listener = open_listener(Protocol::udp, parse("127.0.0.1"));
    const Address address = local(listener.socket);
    assert_int_not_equal(address.port(), 0);
    const Fd sender{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(::sendto(sender.get(), "ask", 3, 0, address.data(), address.size()), 3);
    std::array<char, 8> got{};
    assert_int_equal(::recv(listener.socket.get(), got.data(), got.size(), MSG_DONTWAIT), 3);
    assert_never_blocks_and_is_not_inherited(listener.socket);
}

void test_open_tcp_then_a_connection_comes_in(void** /*state*/) {
    const Listener listener = open_listener(Protocol::tcp, parse("127.0.0.1"));
    const Address address = local(listener.socket);
    const Fd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(::connect(client.get(), address.data(), address.size()), 0);
    const Fd accepted{::accept4(listener.socket.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    assert_true(bool{accepted});
    assert_int_equal(option(accepted, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_never_blocks_and_is_not_inherited(listener.socket);
}

// 192.0.2.0/24 and 2001:db8::/32 are for documentation, no interface here has them: the interface
// of a listener may come up after the daemon.
void test_open_when_no_interface_has_the_address_then_open(void** /*state*/) {
    for (const Protocol protocol : {Protocol::udp, Protocol::tcp}) {
        const Listener v4 = open_listener(protocol, parse("192.0.2.53"));
        assert_string_equal(local(v4.socket).host().c_str(), "192.0.2.53");
        const Listener v6 = open_listener(protocol, parse("2001:db8::53"));
        assert_string_equal(local(v6.socket).host().c_str(), "2001:db8::53");
    }
}

// One socket per family: "::" must leave the IPv4 port to the listener on 0.0.0.0.
void test_open_when_wildcards_of_both_families_then_they_share_the_port(void** /*state*/) {
    for (const Protocol protocol : {Protocol::udp, Protocol::tcp}) {
        bool shared = false;
        // Somebody else may happen to have the IPv4 port, not every time.
        for (int attempt = 0; !shared && attempt < 20; ++attempt) {
            const Listener v6 = open_listener(protocol, parse("::"));
            const Address v4 = parse("0.0.0.0", local(v6.socket).port());
            shared = refusal([&] { return open_listener(protocol, v4); }).error == 0;
        }
        assert_true(shared);
    }
}

void test_open_udp_when_wildcard_then_told_which_address_was_asked(void** /*state*/) {
    const Listener v4 = open_listener(Protocol::udp, parse("0.0.0.0"));
    assert_int_equal(option(v4.socket, IPPROTO_IP, IP_PKTINFO), 1);
    const Listener bound = open_listener(Protocol::udp, parse("127.0.0.1"));
    assert_int_equal(option(bound.socket, IPPROTO_IP, IP_PKTINFO), 0);
}

// C38
void test_open_udp_then_answers_do_not_probe_the_path(void** /*state*/) {
    const Listener v4 = open_listener(Protocol::udp, parse("127.0.0.1"));
    assert_int_equal(option(v4.socket, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_OMIT);
}

void test_open_when_the_port_is_taken_then_the_error_names_the_listener(void** /*state*/) {
    for (const Protocol protocol : {Protocol::udp, Protocol::tcp}) {
        const Listener first = open_listener(protocol, parse("127.0.0.1"));
        const Address taken = local(first.socket);
        const Refusal refused = refusal([&] { return open_listener(protocol, taken); });
        assert_int_equal(refused.error, EADDRINUSE);
        const std::string name = (protocol == Protocol::udp ? "udp 127.0.0.1:" : "tcp 127.0.0.1:") +
                                 std::to_string(taken.port());
        assert_non_null(std::strstr(refused.text.c_str(), name.c_str()));
    }
}

// Two sockets of which the kernel lets one be bound: what each is asked, and what each then gets.
void test_beside_when_the_port_is_shared_then_both_and_the_closer_one_is_asked(void** /*state*/) {
    assert_bound_beside("127.0.0.1", "0.0.0.0");
}

void test_suspend_then_the_other_one_is_asked_until_resumed(void** /*state*/) {
    assert_suspended_in_favour("127.0.0.1", "0.0.0.0");
}

// What came before is read, and what was asked can be answered.
void test_suspend_udp_then_the_queue_stays(void** /*state*/) {
    const Listener listener = open_listener(Protocol::udp, free_address("127.0.0.1"));
    const Fd client{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    const Address address = listener.address;
    assert_int_equal(::connect(client.get(), address.data(), address.size()), 0);
    assert_int_equal(::send(client.get(), "ask", 3, 0), 3);
    listener.suspend();
    sockaddr_storage asker{};
    socklen_t size = sizeof asker;
    std::array<char, 8> got{};
    assert_int_equal(::recvfrom(listener.socket.get(), got.data(), got.size(), MSG_DONTWAIT,
                                reinterpret_cast<sockaddr*>(&asker), &size),
                     3);
    assert_int_equal(::sendto(listener.socket.get(), "answer", 6, 0,
                              reinterpret_cast<const sockaddr*>(&asker), size),
                     6);
    assert_int_equal(::recv(client.get(), got.data(), got.size(), MSG_DONTWAIT), 6);
}

void test_suspend_when_nobody_else_has_the_port_then_refused(void** /*state*/) {
    const Listener udp = open_listener(Protocol::udp, free_address("127.0.0.1"));
    const Listener tcp = open_listener(Protocol::tcp, udp.address);
    udp.suspend();
    tcp.suspend();
    const Fd client{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(::connect(client.get(), udp.address.data(), udp.address.size()), 0);
    assert_int_equal(::send(client.get(), "ask", 3, 0), 3);
    std::array<char, 8> got{};
    assert_int_equal(::recv(client.get(), got.data(), got.size(), MSG_DONTWAIT), -1);
    assert_int_equal(errno, ECONNREFUSED);
    const Fd stream{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(::connect(stream.get(), tcp.address.data(), tcp.address.size()), -1);
    assert_int_equal(errno, ECONNREFUSED);
}

// Whoever can share a port can take datagrams from it: for no longer than another one is bound. Of
// TCP the kernel remembers, and takes nobody who does not ask to share.
void test_open_beside_then_not_shared_any_more(void** /*state*/) {
    for (const Protocol protocol : {Protocol::udp, Protocol::tcp}) {
        const Listener first = open_listener(protocol, free_address("127.0.0.1"));
        const Address wide = parse("0.0.0.0", first.address.port());
        first.share_port(true);
        const Listener second = open_listener(protocol, wide, Beside::sharers);
        first.share_port(false);
        for (const Address& taken : {first.address, wide}) {
            const Beside beside = protocol == Protocol::udp ? Beside::sharers : Beside::nobody;
            assert_int_equal(refusal([&] { return open_listener(protocol, taken, beside); }).error,
                             EADDRINUSE);
        }
    }
}

void test_covers_then_equal_or_wider(void** /*state*/) {
    const Listener wide{.address = parse("0.0.0.0", 53), .socket = {}};
    const Listener narrow{.address = parse("192.0.2.1", 53), .socket = {}};
    const Listener both{.address = parse("::", 53), .socket = {}, .dual_stack = true};
    const Listener v6{.address = parse("::", 53), .socket = {}};
    const Address one = parse("192.0.2.1", 53);
    assert_true(wide.covers(Protocol::udp, one));
    assert_true(narrow.covers(Protocol::udp, one));
    assert_false(narrow.covers(Protocol::udp, wide.address));
    assert_true(narrow.overlaps(Protocol::udp, wide.address));
    assert_true(both.covers(Protocol::udp, one));
    assert_true(both.covers(Protocol::udp, parse("::1", 53)));
    assert_false(v6.covers(Protocol::udp, one));
    assert_false(v6.overlaps(Protocol::udp, wide.address));
    assert_false(wide.overlaps(Protocol::tcp, one));
    assert_false(wide.overlaps(Protocol::udp, parse("192.0.2.1", 54)));
}

void test_text_then_protocol_and_address(void** /*state*/) {
    const Listener v6{.protocol = Protocol::tcp, .address = parse("::1", 5300), .socket = {}};
    assert_string_equal(v6.text().c_str(), "tcp [::1]:5300");
    const Listener v4{.protocol = Protocol::udp, .address = parse("127.0.0.1", 53), .socket = {}};
    assert_string_equal(v4.text().c_str(), "udp 127.0.0.1:53");
}

void test_adopt_udp_then_set_up_as_our_own(void** /*state*/) {
    Fd socket = bound("0.0.0.0", SOCK_DGRAM);
    const std::uint16_t port = local(socket).port();
    const Listener listener = adopt_listener(std::move(socket));
    assert_true(listener.protocol == Protocol::udp);
    assert_false(listener.dual_stack);
    assert_true(listener.address == parse("0.0.0.0", port));
    assert_int_equal(option(listener.socket, IPPROTO_IP, IP_PKTINFO), 1);
    assert_never_blocks_and_is_not_inherited(listener.socket);
}

void test_adopt_tcp_then_set_up_as_our_own(void** /*state*/) {
    Fd socket = bound("127.0.0.1", SOCK_STREAM);
    assert_int_equal(::listen(socket.get(), 1), 0);
    const std::uint16_t port = local(socket).port();
    const Listener listener = adopt_listener(std::move(socket));
    assert_true(listener.protocol == Protocol::tcp);
    assert_true(listener.address == parse("127.0.0.1", port));
    assert_int_equal(option(listener.socket, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_never_blocks_and_is_not_inherited(listener.socket);
}

void test_adopt_when_no_ip_socket_then_refused(void** /*state*/) {
    for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
        const Refusal refused =
            refusal([&] { return adopt_listener(Fd{::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)}); });
        assert_int_equal(refused.error, EPROTONOSUPPORT);
        assert_non_null(std::strstr(refused.text.c_str(), "passed socket"));
    }
}

// It would say that it serves, and every client would be refused.
void test_adopt_when_tcp_but_not_listening_then_refused(void** /*state*/) {
    const Refusal refused = refusal([] { return adopt_listener(bound("127.0.0.1", SOCK_STREAM)); });
    assert_non_null(std::strstr(refused.text.c_str(), "passed socket"));
}

void test_adopt_when_no_socket_then_refused(void** /*state*/) {
    std::array<int, 2> pipe{-1, -1};
    assert_int_equal(::pipe2(pipe.data(), O_CLOEXEC), 0);
    const Fd writing{pipe[1]};
    const Refusal refused = refusal([&] { return adopt_listener(Fd{pipe[0]}); });
    assert_int_equal(refused.error, ENOTSOCK);
    assert_int_equal(::fcntl(pipe[0], F_GETFD), -1); // and closed: it had been given away
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_open_udp_then_a_datagram_comes_in),
        cmocka_unit_test(test_open_tcp_then_a_connection_comes_in),
        cmocka_unit_test(test_open_when_no_interface_has_the_address_then_open),
        cmocka_unit_test(test_open_when_wildcards_of_both_families_then_they_share_the_port),
        cmocka_unit_test(test_open_udp_when_wildcard_then_told_which_address_was_asked),
        cmocka_unit_test(test_open_udp_then_answers_do_not_probe_the_path),
        cmocka_unit_test(test_open_when_the_port_is_taken_then_the_error_names_the_listener),
        cmocka_unit_test(test_beside_when_the_port_is_shared_then_both_and_the_closer_one_is_asked),
        cmocka_unit_test(test_suspend_then_the_other_one_is_asked_until_resumed),
        cmocka_unit_test(test_suspend_udp_then_the_queue_stays),
        cmocka_unit_test(test_suspend_when_nobody_else_has_the_port_then_refused),
        cmocka_unit_test(test_open_beside_then_not_shared_any_more),
        cmocka_unit_test(test_covers_then_equal_or_wider),
        cmocka_unit_test(test_text_then_protocol_and_address),
        cmocka_unit_test(test_adopt_udp_then_set_up_as_our_own),
        cmocka_unit_test(test_adopt_tcp_then_set_up_as_our_own),
        cmocka_unit_test(test_adopt_when_no_ip_socket_then_refused),
        cmocka_unit_test(test_adopt_when_tcp_but_not_listening_then_refused),
        cmocka_unit_test(test_adopt_when_no_socket_then_refused),
    };
    return cmocka_run_group_tests_name("base/listener", tests, nullptr, nullptr);
}
