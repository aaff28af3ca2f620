// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/receive_errors.hh"

#include "base/listener.hh"
#include "unit.hh"

#include <array>
#include <sys/socket.h>

using dotproxy::receive_buffer_errors;

namespace {

void test_errors_when_both_are_there_then_their_sum(void** /*state*/) {
    const char* const snmp = "Ip: Forwarding DefaultTTL\n"
                             "Ip: 2 64\n"
                             "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\n"
                             "Udp: 1103295 24904 69716 1204230 37188\n"
                             "UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\n"
                             "UdpLite: 1 2 3 4 5\n";
    const char* const snmp6 = "Udp6InErrors                    \t7\n"
                              "Udp6RcvbufErrors                \t12\n"
                              "UdpLite6RcvbufErrors            \t3\n";
    assert_int_equal(receive_buffer_errors(snmp, snmp6), 37188 + 12);
}

// Where there is no IPv6, or nothing at all.
void test_errors_when_something_is_missing_then_what_there_is(void** /*state*/) {
    assert_int_equal(receive_buffer_errors("Udp: RcvbufErrors\nUdp: 4\n", ""), 4);
    assert_int_equal(receive_buffer_errors("Udp: RcvbufErrors\n", "Udp6RcvbufErrors 3\n"), 3);
    assert_int_equal(receive_buffer_errors("Udp: InErrors\nUdp: 4\n", "Udp6InErrors 3\n"), 0);
    assert_int_equal(receive_buffer_errors("", ""), 0);
}

void test_errors_when_a_queue_is_full_then_more(void** /*state*/) {
    const dotproxy::Listener listener =
        dotproxy::open_listener(dotproxy::Protocol::udp, *dotproxy::Address::parse("127.0.0.1", 0));
    const int size = 1;
    assert_int_equal(::setsockopt(listener.socket.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size),
                     0);
    sockaddr_storage name{};
    socklen_t name_size = sizeof name;
    assert_int_equal(
        ::getsockname(listener.socket.get(), reinterpret_cast<sockaddr*>(&name), &name_size), 0);
    const dotproxy::Fd client{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    const std::array<char, 512> datagram{};
    const std::uint64_t before = receive_buffer_errors();
    for (int i = 0; i < 100; ++i) {
        assert_int_equal(::sendto(client.get(), datagram.data(), datagram.size(), 0,
                                  reinterpret_cast<sockaddr*>(&name), name_size),
                         datagram.size());
    }
    assert_true(receive_buffer_errors() >= before + 50);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_when_both_are_there_then_their_sum),
        cmocka_unit_test(test_errors_when_something_is_missing_then_what_there_is),
        cmocka_unit_test(test_errors_when_a_queue_is_full_then_more),
    };
    return cmocka_run_group_tests_name("master/receive_errors", tests, nullptr, nullptr);
}
