// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/listener.hh"

#include "base/sockets.hh"
#include "ipv6.hh"
#include "unit.hh"

#include <netinet/in.h>
#include <utility>

using dotproxy::adopt_listener;
using dotproxy::Fd;
using dotproxy::Listener;
using dotproxy::open_listener;
using dotproxy::Protocol;

namespace {

void test_open_udp_when_wildcard_then_told_which_address_was_asked(void** /*state*/) {
    const Listener wildcard = open_listener(Protocol::udp, parse("::"));
    assert_int_equal(option(wildcard.socket, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
    const Listener bound = open_listener(Protocol::udp, parse("::1"));
    assert_int_equal(option(bound.socket, IPPROTO_IPV6, IPV6_RECVPKTINFO), 0);
}

// C38
void test_open_udp_then_answers_do_not_probe_the_path(void** /*state*/) {
    const Listener listener = open_listener(Protocol::udp, parse("::1"));
    assert_int_equal(option(listener.socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_OMIT);
}

void test_adopt_tcp_then_its_address_is_known(void** /*state*/) {
    Fd socket = bound("::1", SOCK_STREAM);
    assert_int_equal(::listen(socket.get(), 1), 0);
    const Listener listener = adopt_listener(std::move(socket));
    assert_true(listener.protocol == Protocol::tcp);
    assert_int_not_equal(listener.address.port(), 0);
    assert_true(listener.address == parse("::1", listener.address.port()));
}

void test_adopt_when_it_takes_ipv4_as_well_then_known(void** /*state*/) {
    assert_true(adopt_listener(bound("::", SOCK_DGRAM)).dual_stack);
    const Listener ours = open_listener(Protocol::udp, parse("::"));
    assert_false(adopt_listener(Fd{::dup(ours.socket.get())}).dual_stack);
}

void test_beside_when_the_port_is_shared_then_both_and_the_closer_one_is_asked(void** /*state*/) {
    assert_bound_beside("::1", "::");
}

void test_suspend_then_the_other_one_is_asked_until_resumed(void** /*state*/) {
    assert_suspended_in_favour("::1", "::");
}

} // namespace

int main() {
    if (lacks_ipv6()) {
        return 0;
    }
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_open_udp_when_wildcard_then_told_which_address_was_asked),
        cmocka_unit_test(test_open_udp_then_answers_do_not_probe_the_path),
        cmocka_unit_test(test_adopt_tcp_then_its_address_is_known),
        cmocka_unit_test(test_adopt_when_it_takes_ipv4_as_well_then_known),
        cmocka_unit_test(test_beside_when_the_port_is_shared_then_both_and_the_closer_one_is_asked),
        cmocka_unit_test(test_suspend_then_the_other_one_is_asked_until_resumed),
    };
    return cmocka_run_group_tests_name("base/listener of IPv6", tests, nullptr, nullptr);
}
