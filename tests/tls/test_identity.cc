// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Whom a peer must prove to be: what counts as a name, and what is refused.

#include "tls/identity.hh"

#include "unit.hh"

#include <string>

using dotproxy::tls::Identity;
using dotproxy::tls::SpkiPin;

namespace {

void assert_name(const char* given, const char* expected) {
    const auto identity = Identity::make(given, {});
    assert_string_equal(identity ? identity->name().c_str() : "refused", expected);
}

// C62
void test_make_without_name_and_pin_refuses(void** /*state*/) {
    assert_false(Identity::make("", {}).has_value());
}

void test_make_with_pins_alone_has_no_name(void** /*state*/) {
    const auto identity = Identity::make("", {SpkiPin{1}, SpkiPin{2}});
    assert_true(identity.has_value());
    assert_true(identity->name().empty());
    assert_false(identity->is_ip());
    assert_int_equal(identity->pins().size(), 2);
    assert_int_equal(identity->pins()[1][0], 2);
}

// C63
void test_make_with_name_normalises_it(void** /*state*/) {
    assert_name("DNS.Example", "dns.example");
    assert_name("dns.example.", "dns.example");
    assert_name("resolver", "resolver");
    assert_name("1dot1dot1dot1.cloudflare-dns.com", "1dot1dot1dot1.cloudflare-dns.com");
    assert_name("xn--bcher-kva.example", "xn--bcher-kva.example");
    assert_name("a_b.example", "a_b.example");
}

void test_make_with_ip_literal_keeps_its_octets(void** /*state*/) {
    const auto v4 = Identity::make("192.0.2.7", {});
    assert_true(v4.has_value() && v4->is_ip());
    assert_true((v4->ip() == std::vector<std::uint8_t>{192, 0, 2, 7}));
    const auto v6 = Identity::make("2001:DB8::1", {});
    assert_true(v6.has_value() && v6->is_ip());
    assert_int_equal(v6->ip().size(), 16);
    assert_int_equal(v6->ip()[2], 0x0d);
    assert_int_equal(v6->ip()[15], 1);
    assert_string_equal(v6->name().c_str(), "2001:db8::1");
    assert_false(Identity::make("dns.example", {})->is_ip());
}

void test_make_with_nonsense_refuses(void** /*state*/) {
    for (const char* name :
         {".", "..", ".dns.example", "dns..example", "dns.example..", "*.example", "dns example",
          " dns.example", "dns.example\n", "dns.example:853", "[2001:db8::1]", "fe80::1%eth0",
          "192.0.2.256", "192.0.2", "1", "192.0.2.7.", "192.0.2.0/24",
          "b\xc3\xbc"
          "cher.example"}) {
        assert_name(name, "refused");
        // A pin does not make a bad name good: both must hold (C66).
        assert_false(Identity::make(name, {SpkiPin{}}).has_value());
    }
    assert_false(Identity::make(std::string("192.0.2.7\0x", 11), {}).has_value());
    assert_false(Identity::make(std::string("dns.example\0x", 13), {}).has_value());
}

void test_make_with_long_names_refuses_past_the_limits(void** /*state*/) {
    const std::string label(63, 'a');
    const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'b');
    assert_int_equal(longest.size(), 253);
    assert_true(Identity::make(longest, {}).has_value());
    assert_true(Identity::make(longest + ".", {}).has_value());
    assert_false(Identity::make(longest + "b", {}).has_value());
    assert_false(Identity::make(label + "a.example", {}).has_value());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_make_without_name_and_pin_refuses),
        cmocka_unit_test(test_make_with_pins_alone_has_no_name),
        cmocka_unit_test(test_make_with_name_normalises_it),
        cmocka_unit_test(test_make_with_ip_literal_keeps_its_octets),
        cmocka_unit_test(test_make_with_nonsense_refuses),
        cmocka_unit_test(test_make_with_long_names_refuses_past_the_limits),
    };
    return cmocka_run_group_tests_name("tls/identity", tests, nullptr, nullptr);
}
