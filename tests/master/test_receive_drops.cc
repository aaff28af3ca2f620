// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/receive_drops.hh"

#include "unit.hh"

#include <array>
#include <memory>
#include <netinet/in.h>
#include <sys/socket.h>
#include <vector>

using dotproxy::Address;
using dotproxy::Listener;
using dotproxy::Protocol;
using dotproxy::ReceiveDrops;

namespace {

using Listeners = std::vector<std::shared_ptr<const Listener>>;

std::shared_ptr<const Listener> make_listener(Protocol protocol) {
    return std::make_shared<const Listener>(
        dotproxy::open_listener(protocol, *Address::parse("127.0.0.1", 0)));
}

/// Sends to a socket that nobody reads, until its queue is full and then `more` octets of
/// datagrams.
void overflow(const Listener& listener, unsigned more) {
    const int size = 1;
    assert_int_equal(::setsockopt(listener.socket.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size),
                     0);
    sockaddr_storage name{};
    socklen_t name_size = sizeof name;
    assert_int_equal(
        ::getsockname(listener.socket.get(), reinterpret_cast<sockaddr*>(&name), &name_size), 0);
    const dotproxy::Fd client{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    const std::array<char, 512> datagram{};
    for (unsigned i = 0; i < more; ++i) {
        assert_int_equal(::sendto(client.get(), datagram.data(), datagram.size(), 0,
                                  reinterpret_cast<sockaddr*>(&name), name_size),
                         datagram.size());
    }
}

/// How many datagrams are in its queue; it is empty then.
unsigned drain(const Listener& listener) {
    std::array<char, 512> datagram{};
    unsigned count = 0;
    while (::recv(listener.socket.get(), datagram.data(), datagram.size(), MSG_DONTWAIT) > 0) {
        ++count;
    }
    return count;
}

void test_since_last_then_exactly_what_did_not_fit(void** /*state*/) {
    const Listeners listeners{make_listener(Protocol::udp), make_listener(Protocol::tcp)};
    ReceiveDrops drops;
    assert_int_equal(drops.since_last(listeners), 0);
    overflow(*listeners[0], 500);
    const unsigned queued = drain(*listeners[0]);
    assert_in_range(queued, 1, 499);
    assert_int_equal(drops.since_last(listeners), 500 - queued);
    assert_int_equal(drops.waiting(), 0);
    assert_int_equal(drops.since_last(listeners), 0);
    overflow(*listeners[0], 100);
    assert_int_equal(drops.since_last(listeners), 100 - drain(*listeners[0]));
}

// A service manager's socket may have dropped for whoever had it before.
void test_since_last_when_a_socket_is_new_then_from_now_on(void** /*state*/) {
    const Listeners listeners{make_listener(Protocol::udp)};
    overflow(*listeners[0], 300);
    ReceiveDrops drops;
    assert_int_equal(drops.since_last(listeners), 0);
}

// Two generations have the same socket.
void test_since_last_when_a_socket_is_in_two_lists_then_counted_once(void** /*state*/) {
    const Listeners first{make_listener(Protocol::udp)};
    const Listeners second = first;
    ReceiveDrops drops;
    assert_int_equal(drops.since_last(first), 0);
    overflow(*first[0], 300);
    assert_int_not_equal(drops.since_last(first), 0);
    const std::uint64_t waiting = drops.waiting();
    assert_true(waiting > 512);
    assert_int_equal(drops.since_last(second), 0);
    assert_int_equal(drops.waiting(), waiting);
}

// It does not keep sockets open, and the place of one that has gone says nothing about the next.
void test_since_last_when_a_socket_has_gone_then_it_is_forgotten(void** /*state*/) {
    ReceiveDrops drops;
    Listeners listeners{make_listener(Protocol::udp)};
    const std::weak_ptr<const Listener> gone = listeners[0];
    overflow(*listeners[0], 3);
    assert_int_equal(drops.since_last(listeners), 0);
    assert_true(drops.waiting() > 0);
    listeners.clear();
    assert_true(gone.expired());
    assert_int_equal(drops.waiting(), 0);
    listeners.push_back(make_listener(Protocol::udp));
    overflow(*listeners[0], 300);
    assert_int_equal(drops.since_last(listeners), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_since_last_then_exactly_what_did_not_fit),
        cmocka_unit_test(test_since_last_when_a_socket_is_new_then_from_now_on),
        cmocka_unit_test(test_since_last_when_a_socket_is_in_two_lists_then_counted_once),
        cmocka_unit_test(test_since_last_when_a_socket_has_gone_then_it_is_forgotten),
    };
    return cmocka_run_group_tests_name("master/receive_drops", tests, nullptr, nullptr);
}
