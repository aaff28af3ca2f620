// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/name_text.hh"

#include "unit.hh"

#include <string>

using dotproxy::dns::name_text;
using dotproxy::dns::parse_name;

namespace {

std::string wire(const std::string& text) {
    const auto name = parse_name(text);
    std::string digits;
    for (const std::uint8_t octet : name ? name->view() : dotproxy::dns::Octets{}) {
        constexpr std::string_view hex = "0123456789abcdef";
        digits += {hex[octet >> 4U], hex[octet & 0xfU]};
    }
    return digits;
}

void test_parse_name_then_on_the_wire_in_lower_case(void** /*state*/) {
    assert_string_equal(wire("a.bc").c_str(), "016102626300");
    assert_string_equal(wire("A.Bc.").c_str(), "016102626300");
    assert_string_equal(wire(".").c_str(), "00");
    assert_string_equal(wire("-_*.1").c_str(), "032d5f2a013100");
}

void test_name_text_then_as_it_was_read(void** /*state*/) {
    for (const char* const text :
         {".", "a.bc", "-_*.1", "a\\.b", "\\\\.x", "\\000\\255\\032.x", "x@y"}) {
        assert_string_equal(name_text(parse_name(text)->view()).c_str(), text);
    }
    assert_string_equal(name_text(parse_name("A.example.")->view()).c_str(), "a.example");
}

void test_parse_name_when_escaped_then_that_octet(void** /*state*/) {
    assert_string_equal(wire("a\\.b").c_str(), "03612e6200");
    assert_string_equal(wire("\\\\").c_str(), "015c00");
    assert_string_equal(wire("\\000\\255.x").c_str(), "0200ff017800");
    assert_string_equal(wire("\\065\\A").c_str(), "02616100"); // folded like any other
    assert_string_equal(wire("x\\046").c_str(), "02782e00");
}

void test_parse_name_when_none_then_none(void** /*state*/) {
    for (const char* const text :
         {"", "..", ".a", "a..b", "a..", "\\", "a\\", "\\1", "\\25", "\\256", "\\999", "\\1a2"}) {
        if (parse_name(text)) {
            fail_msg("\"%s\" was taken for a name", text);
        }
    }
}

// RFC 1035, section 2.3.4
void test_parse_name_when_long_then_63_and_255_octets_at_most(void** /*state*/) {
    const std::string label(63, 'a');
    assert_true(parse_name(label).has_value());
    assert_false(parse_name(label + 'a').has_value());
    const std::string longest = label + '.' + label + '.' + label + '.' + label.substr(0, 61);
    assert_int_equal(parse_name(longest)->size, 255);
    assert_int_equal(parse_name(longest + '.')->size, 255);
    assert_false(parse_name(longest + 'a').has_value());
    assert_false(parse_name(longest + ".a").has_value());
    assert_false(parse_name(std::string(100000, '.')).has_value());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_name_then_on_the_wire_in_lower_case),
        cmocka_unit_test(test_name_text_then_as_it_was_read),
        cmocka_unit_test(test_parse_name_when_escaped_then_that_octet),
        cmocka_unit_test(test_parse_name_when_none_then_none),
        cmocka_unit_test(test_parse_name_when_long_then_63_and_255_octets_at_most),
    };
    return cmocka_run_group_tests_name("dns/name_text", tests, nullptr, nullptr);
}
