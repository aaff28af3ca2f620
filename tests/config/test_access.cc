// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Who may ask: `allow`, and `allow` of one listener (limits 40 to 43 and 46).

#include "config/access.hh"

#include "config/parsing.hh"

#include <array>
#include <span>
#include <string>

using dotproxy::Access;
using dotproxy::Address;
using dotproxy::AddressBits;
using dotproxy::Config;
using dotproxy::Prefix;
using dotproxy::Protocol;
using namespace dotproxy::test;

namespace {

const std::array on_link{Prefix::parse("198.51.100.0/24").value(),
                         Prefix::parse("2001:db8:1::/64").value()};

bool allows(const Access& access, const char* client, std::span<const Prefix> links = on_link) {
    return access.allows(AddressBits::of(Address::parse(client, 53).value()), links);
}

Access allow(const std::string& list) {
    return parse("allow = ( " + list + " );").allow;
}

// limits 40
void test_allow_when_default_then_own_networks(void** /*state*/) {
    const Access access = parse("").allow;
    for (const char* const client :
         {"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "10.0.0.1", "172.16.0.1",
          "172.31.255.255", "192.168.255.1", "::ffff:192.168.0.1", "169.254.1.1", "fe80::1",
          "fd00::1", "198.51.100.7", "::ffff:198.51.100.7", "2001:db8:1::7"}) {
        if (!allows(access, client)) {
            fail_msg("%s is turned away", client);
        }
    }
    for (const char* const client :
         {"0.0.0.0", "8.8.8.8", "100.64.0.1", "172.32.0.1", "172.15.0.1", "192.169.0.1", "11.0.0.1",
          "198.51.101.7", "::2", "::", "2001:db8:2::7", "2606:4700::1", "fec0::1",
          "64:ff9b::a00:1"}) {
        if (allows(access, client)) {
            fail_msg("%s may ask", client);
        }
    }
}

// Behind a router's outside all is strangers, within a provider's network nobody is one.
void test_allow_when_shared_addresses_are_on_link_then_local(void** /*state*/) {
    const std::array link{Prefix::parse("100.64.1.0/24").value()};
    assert_true(allows(Access{}, "100.64.1.7", link));
    assert_false(allows(Access{}, "100.64.2.7", link));
    assert_false(allows(Access{}, "198.51.100.7", {}));
}

void test_allow_when_any_then_everybody(void** /*state*/) {
    const Access any = allow("\"any\"");
    assert_true(allows(any, "8.8.8.8"));
    assert_true(allows(any, "2606:4700::1"));
    assert_true(any.allows_any());
    assert_true(allow("\"::/0\"").allows_any());
    assert_false(allows(allow("\"::/0\""), "8.8.8.8"));
    assert_false(allow("\"local\"").allows_any());
    assert_false(allow("\"any\", \"!0.0.0.0/0\", \"!::/0\"").allows_any());
}

// limits 46, in whatever order
void test_allow_when_networks_overlap_then_the_longest_counts(void** /*state*/) {
    for (const char* const list :
         {"\"local\", \"!192.168.1.0/24\", \"192.168.1.7\", \"203.0.113.0/24\"",
          "\"203.0.113.0/24\", \"192.168.1.7\", \"!192.168.1.0/24\", \"local\""}) {
        const Access access = allow(list);
        assert_true(allows(access, "192.168.2.1"));
        assert_false(allows(access, "192.168.1.1"));
        assert_true(allows(access, "192.168.1.7"));
        assert_true(allows(access, "203.0.113.9"));
        assert_false(allows(access, "203.0.112.9"));
    }
    const Access but_loopback = allow("\"!loopback\", \"local\"");
    assert_false(allows(but_loopback, "127.0.0.1"));
    assert_false(allows(but_loopback, "::1"));
    assert_true(allows(but_loopback, "10.0.0.1"));
    const Access strangers = allow("\"any\", \"!local\"");
    assert_true(allows(strangers, "8.8.8.8"));
    assert_false(allows(strangers, "10.0.0.1"));
    assert_false(allows(strangers, "198.51.100.7"));
    assert_true(allows(allow("\"loopback\""), "127.0.0.1"));
    assert_false(allows(allow("\"loopback\""), "10.0.0.1"));
    assert_false(allows(allow("\"loopback\""), "198.51.100.7"));
}

// What is on-link is as long as its interface says.
void test_allow_when_on_link_and_named_then_the_longer_counts(void** /*state*/) {
    assert_false(allows(allow("\"local\", \"!198.51.100.7\""), "198.51.100.7"));
    assert_true(allows(allow("\"local\", \"!198.51.0.0/16\""), "198.51.100.7"));
    assert_false(allows(allow("\"local\", \"!198.51.100.0/24\""), "198.51.100.7"));
    assert_true(allows(allow("\"!local\", \"198.51.100.0/24\""), "198.51.100.7"));
    assert_false(allows(allow("\"!local\", \"198.51.0.0/16\""), "198.51.100.7"));
}

// "any" for one port opens no other.
void test_listener_when_it_has_an_own_list_then_that_counts_there(void** /*state*/) {
    const Config config =
        parse("listen = ( { address = \"0.0.0.0\"; port = 53; },\n"
              "           { address = \"0.0.0.0\"; port = 54; allow = ( \"any\" ); },\n"
              "           { address = \"192.0.2.1\"; port = 55; protocols = ( \"udp\" );\n"
              "             allow = ( \"any\" ); },\n"
              "           { address = \"0.0.0.0\"; port = 55; protocols = ( \"tcp\" ); } );");
    const auto open = [&config](Protocol protocol, const char* address, std::uint16_t port) {
        return allows(config.access_at(protocol, Address::parse(address, port).value()), "8.8.8.8");
    };
    assert_false(open(Protocol::udp, "0.0.0.0", 53));
    assert_false(open(Protocol::tcp, "192.0.2.1", 53));
    assert_true(open(Protocol::udp, "0.0.0.0", 54));
    assert_true(open(Protocol::tcp, "192.0.2.1", 54)); // where a connection came to
    assert_true(open(Protocol::udp, "192.0.2.1", 55));
    assert_false(open(Protocol::tcp, "192.0.2.1", 55));
    assert_false(open(Protocol::tcp, "192.0.2.1", 99)); // a socket that was passed
    assert_false(open(Protocol::tcp, "::", 54));
}

void test_parse_when_list_is_wrong_then_error(void** /*state*/) {
    for (const char* const key : {"allow", "listen[].allow"}) {
        const std::string place = "1: " + in_messages(key);
        const auto in_list = [key](const char* element) {
            return setting(key, "( \"local\", \"" + std::string{element} + "\" )");
        };
        assert_error_at(setting(key, "()"), place + ": is empty; give at least one, such as ");
        assert_error_at(setting(key, "\"any\""), place + ": is a string; give a list");
        assert_error_at(setting(key, "( \"!10.0.0.0/8\" )"),
                        place + ": lets nobody ask; say who may, such as ( \"local\" )");
        assert_error_at(in_list("10.0.0.1/8"),
                        place + "[1]: \"10.0.0.1/8\" has bits beyond its length; give "
                                "\"10.0.0.0/8\" or a single address");
        assert_error_at(in_list("lan"), place + "[1]: \"lan\" is not a network; give one such as ");
        assert_error_at(in_list("10.0.0.0/33"), place + "[1]: \"10.0.0.0/33\" is not a network");
        assert_error_at(in_list("! 10.0.0.1"), place + "[1]: \"! 10.0.0.1\" is not a network");
        assert_error_at(in_list("!"), place + "[1]: \"!\" is not a network");
        assert_error_at(in_list(""), place + "[1]: is empty; give a string such as \"local\"");
        assert_error_at(in_list("!local"), place + "[1]: \"local\" is given twice; ");
    }
    assert_error_at(setting("allow", "( \"10.0.0.0/8\", \"!10.0.0.0/8\" )"),
                    "1: allow[1]: \"10.0.0.0/8\" is given twice; give each network once");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_allow_when_default_then_own_networks),
        cmocka_unit_test(test_allow_when_shared_addresses_are_on_link_then_local),
        cmocka_unit_test(test_allow_when_any_then_everybody),
        cmocka_unit_test(test_allow_when_networks_overlap_then_the_longest_counts),
        cmocka_unit_test(test_allow_when_on_link_and_named_then_the_longer_counts),
        cmocka_unit_test(test_listener_when_it_has_an_own_list_then_that_counts_there),
        cmocka_unit_test(test_parse_when_list_is_wrong_then_error),
    };
    return cmocka_run_group_tests_name("config/access", tests, set_up, tear_down);
}
