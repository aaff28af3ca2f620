// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/address.hh"

#include "unit.hh"

#include <cstring>
#include <net/if.h>
#include <string>

using dotproxy::Address;

namespace {

std::string round_trip(const char* literal) {
    const auto address = Address::parse(literal, 53);
    return address ? address->host() : "none";
}

void test_parse_when_literal_then_text_is_canonical(void** /*state*/) {
    assert_string_equal(round_trip("192.0.2.1").c_str(), "192.0.2.1");
    assert_string_equal(round_trip("2001:DB8:0:0::1").c_str(), "2001:db8::1");
    assert_string_equal(round_trip("::").c_str(), "::");
    assert_string_equal(Address::parse("192.0.2.1", 853)->text().c_str(), "192.0.2.1:853");
    assert_string_equal(Address::parse("2001:db8::1", 853)->text().c_str(), "[2001:db8::1]:853");
}

// getaddrinfo() takes some of these.
void test_parse_when_not_a_literal_then_none(void** /*state*/) {
    for (const char* const text : {"",
                                   "1",
                                   "1.2.3",
                                   "1.2.3.4.5",
                                   "256.0.0.1",
                                   "01.2.3.4",
                                   "0x7f.1",
                                   " 1.2.3.4",
                                   "1.2.3.4 ",
                                   "localhost",
                                   "[::1]",
                                   ":",
                                   ":::",
                                   "1::2::3",
                                   "1.2.3.4%lo",
                                   "::1%",
                                   "::1%no such one",
                                   "::1%0",
                                   "::1%99999999999",
                                   "127.0.0.1:53"}) {
        if (Address::parse(text, 53)) {
            fail_msg("\"%s\" was taken for an address", text);
        }
    }
    assert_false(Address::parse(std::string{"127.0.0.1\0", 10}, 53).has_value());
    assert_false(Address::parse(std::string{"::1\0", 4}, 53).has_value());
}

void test_parse_when_zone_then_it_is_kept(void** /*state*/) {
    const unsigned index = if_nametoindex("lo");
    assert_int_not_equal(index, 0);
    const auto by_name = Address::parse("fe80::1%lo", 53);
    const auto by_number = Address::parse("fe80::1%" + std::to_string(index), 53);
    assert_true(by_name.has_value());
    assert_true(by_number.has_value());
    assert_true(*by_name == *by_number);
    assert_string_equal(by_name->text().c_str(), "[fe80::1%lo]:53");
    assert_false(*by_name == *Address::parse("fe80::1", 53));
}

void test_default_then_any_v4(void** /*state*/) {
    const Address address;
    assert_int_equal(address.family(), AF_INET);
    assert_int_equal(address.port(), 0);
    assert_true(address.is_wildcard());
    assert_int_equal(address.size(), sizeof(sockaddr_in));
}

void test_is_wildcard_then_only_for_the_two(void** /*state*/) {
    assert_true(Address::parse("0.0.0.0", 53)->is_wildcard());
    assert_true(Address::parse("::", 53)->is_wildcard());
    assert_false(Address::parse("0.0.0.1", 53)->is_wildcard());
    assert_false(Address::parse("::1", 53)->is_wildcard());
}

void test_equal_when_host_port_and_family_are(void** /*state*/) {
    const auto one = Address::parse("192.0.2.1", 53);
    assert_true(*one == *Address::parse("192.0.2.1", 53));
    assert_false(*one == *Address::parse("192.0.2.1", 54));
    assert_false(*one == *Address::parse("192.0.2.2", 53));
    assert_false(*one == *Address::parse("::ffff:192.0.2.1", 53));
    assert_false(*Address::parse("::1", 53) == *Address::parse("::2", 53));
}

void test_equal_when_only_flow_labels_differ_then_true(void** /*state*/) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    const Address plain{v6};
    v6.sin6_flowinfo = 7;
    assert_true(plain == Address{v6});
}

void test_from_when_storage_holds_one_then_the_same(void** /*state*/) {
    for (const char* const literal : {"192.0.2.1", "fe80::1%lo"}) {
        const auto address = Address::parse(literal, 5300);
        sockaddr_storage storage{};
        std::memcpy(&storage, address->data(), address->size());
        const auto copy = Address::from(storage);
        assert_true(copy.has_value());
        assert_true(*copy == *address);
    }
}

void test_from_when_another_family_then_none(void** /*state*/) {
    sockaddr_storage storage{};
    storage.ss_family = AF_UNIX;
    assert_false(Address::from(storage).has_value());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_when_literal_then_text_is_canonical),
        cmocka_unit_test(test_parse_when_not_a_literal_then_none),
        cmocka_unit_test(test_parse_when_zone_then_it_is_kept),
        cmocka_unit_test(test_default_then_any_v4),
        cmocka_unit_test(test_is_wildcard_then_only_for_the_two),
        cmocka_unit_test(test_equal_when_host_port_and_family_are),
        cmocka_unit_test(test_equal_when_only_flow_labels_differ_then_true),
        cmocka_unit_test(test_from_when_storage_holds_one_then_the_same),
        cmocka_unit_test(test_from_when_another_family_then_none),
    };
    return cmocka_run_group_tests_name("base/address", tests, nullptr, nullptr);
}
