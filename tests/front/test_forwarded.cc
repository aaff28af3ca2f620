// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Whose a request is that came through proxies (E73).

#include "front/forwarded.hh"
#include "unit.hh"

#include <string>

using dotproxy::forwarded_client;
using dotproxy::ListenConfig;
using dotproxy::Prefix;

namespace {

ListenConfig trusting_some() {
    ListenConfig here;
    here.trusted = {*Prefix::parse("127.0.0.1"), *Prefix::parse("10.0.0.0/8"),
                    *Prefix::parse("2001:db8:1::/48")};
    return here;
}

void assert_client(const std::string& list, const char* client) {
    const auto found = forwarded_client(list, trusting_some());
    assert_string_equal(found ? found->host().c_str() : "none", client);
}

void test_list_then_the_last_that_is_not_trusted(void** /*state*/) {
    assert_client("192.0.2.1", "192.0.2.1");
    assert_client("192.0.2.1, 10.1.2.3, 127.0.0.1", "192.0.2.1");
    assert_client("198.51.100.9,192.0.2.1\t,10.1.2.3", "192.0.2.1"); // the first is its own word
    assert_client("2001:db8:2::1, 2001:db8:1::1", "2001:db8:2::1");
}

void test_list_when_all_are_trusted_then_the_first(void** /*state*/) {
    assert_client("10.0.0.7, 10.1.2.3", "10.0.0.7");
    assert_client("127.0.0.1", "127.0.0.1");
}

void test_hop_with_a_port_then_its_address(void** /*state*/) {
    assert_client("192.0.2.1:49152", "192.0.2.1");
    assert_client("[2001:db8:2::1]:49152", "2001:db8:2::1");
    assert_client("[2001:db8:2::1], 10.0.0.1:1", "2001:db8:2::1");
}

void test_no_address_where_one_is_looked_for_then_none(void** /*state*/) {
    for (const char* const list :
         {"", " ", ",", "192.0.2.1,", "unknown", "unknown, 10.0.0.1", "_hidden, 127.0.0.1",
          "192.0.2.1 192.0.2.2", "192.0.2.256", "[2001:db8::1", "[2001:db8::1]x", "[]", "]", "[",
          "fe80::1%eth0", "localhost", "192.0.2.1, , 10.0.0.1"}) {
        assert_client(list, "none");
    }
    assert_client(std::string(4096, '1'), "none");
    assert_client(std::string(4096, ','), "none");
    // Nobody looks at what stands before the client.
    assert_client("unknown, 192.0.2.1", "192.0.2.1");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_list_then_the_last_that_is_not_trusted),
        cmocka_unit_test(test_list_when_all_are_trusted_then_the_first),
        cmocka_unit_test(test_hop_with_a_port_then_its_address),
        cmocka_unit_test(test_no_address_where_one_is_looked_for_then_none),
    };
    return cmocka_run_group_tests_name("front/forwarded", tests, nullptr, nullptr);
}
