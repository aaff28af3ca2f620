// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/identity_text.hh"

#include "unit.hh"

#include <string>

using dotproxy::parse_pin;
using dotproxy::parse_server_name;

namespace {

std::string name(const std::string& text) {
    return parse_server_name(text).value_or("none");
}

// C63
void test_parse_server_name_when_dns_name_then_lower_case_without_dot(void** /*state*/) {
    assert_string_equal(name("dns.example").c_str(), "dns.example");
    assert_string_equal(name("DNS.Example.").c_str(), "dns.example");
    assert_string_equal(name("xn--bcher-kva.example").c_str(), "xn--bcher-kva.example");
    assert_string_equal(name("localhost").c_str(), "localhost");
    assert_string_equal(name("1dot1dot1dot1.example").c_str(), "1dot1dot1dot1.example");
}

void test_parse_server_name_when_address_then_its_usual_form(void** /*state*/) {
    assert_string_equal(name("192.0.2.1").c_str(), "192.0.2.1");
    assert_string_equal(name("2001:DB8:0::1").c_str(), "2001:db8::1");
}

void test_parse_server_name_when_neither_then_none(void** /*state*/) {
    for (const char* const text :
         {"", ".", "..", "dns..example", ".example", "dns.example..", "*.example", "d_ns.example",
          "-dns.example", "dns-.example", "dns example",
          "b\xc3\xbc"
          "cher.example",
          "1.2.3", "192.0.2.256", "[2001:db8::1]", "192.0.2.1:853", "fe80::1%lo", "dns.example/"}) {
        if (parse_server_name(text)) {
            fail_msg("\"%s\" was taken for a name", text);
        }
    }
}

void test_parse_server_name_when_long_then_the_limits_of_dns_hold(void** /*state*/) {
    const std::string label(63, 'a');
    assert_string_equal(name(label).c_str(), label.c_str());
    assert_string_equal(name(label + 'a').c_str(), "none");
    const std::string full = label + '.' + label + '.' + label + '.' + label.substr(0, 61);
    assert_int_equal(full.size(), 253);
    assert_string_equal(name(full).c_str(), full.c_str());
    assert_string_equal(name(full + '.').c_str(), full.c_str());
    assert_string_equal(name(full + 'a').c_str(), "none");
}

// The SHA-256 of nothing.
constexpr const char* pin_text = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

// C65
void test_parse_pin_when_base64_of_32_octets_then_those(void** /*state*/) {
    const auto pin = parse_pin(pin_text);
    assert_true(pin.has_value());
    const unsigned char digest[] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                    0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                                    0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
    assert_memory_equal(pin->data(), digest, sizeof(digest));
}

void test_parse_pin_when_anything_else_then_none(void** /*state*/) {
    const std::string good = pin_text;
    std::string bad = good;
    bad[10] = '-'; // base64url
    assert_false(parse_pin(bad).has_value());
    bad[10] = '=';
    assert_false(parse_pin(bad).has_value());
    bad = good;
    bad[42] = 'V'; // bits beyond the 32 octets
    assert_false(parse_pin(bad).has_value());
    assert_false(parse_pin("").has_value());
    assert_false(parse_pin(good.substr(0, 43)).has_value());
    assert_false(parse_pin(good.substr(0, 40)).has_value());
    assert_false(parse_pin(good.substr(0, 42) + "==").has_value());
    assert_false(parse_pin(good + '=').has_value());
    assert_false(parse_pin(good + '\n').has_value());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_server_name_when_dns_name_then_lower_case_without_dot),
        cmocka_unit_test(test_parse_server_name_when_address_then_its_usual_form),
        cmocka_unit_test(test_parse_server_name_when_neither_then_none),
        cmocka_unit_test(test_parse_server_name_when_long_then_the_limits_of_dns_hold),
        cmocka_unit_test(test_parse_pin_when_base64_of_32_octets_then_those),
        cmocka_unit_test(test_parse_pin_when_anything_else_then_none),
    };
    return cmocka_run_group_tests_name("config/identity_text", tests, nullptr, nullptr);
}
