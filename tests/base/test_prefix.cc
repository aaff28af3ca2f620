// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/prefix.hh"

#include "unit.hh"

#include <string>

using dotproxy::Address;
using dotproxy::AddressBits;
using dotproxy::Prefix;
using dotproxy::PrefixMap;

namespace {

AddressBits bits(const char* literal) {
    return AddressBits::of(Address::parse(literal, 53).value());
}

Prefix prefix(const char* literal) {
    return Prefix::parse(literal).value();
}

void test_parse_when_prefix_then_text_is_canonical(void** /*state*/) {
    assert_string_equal(prefix("192.0.2.0/24").text().c_str(), "192.0.2.0/24");
    assert_string_equal(prefix("192.0.2.77/24").text().c_str(), "192.0.2.0/24");
    assert_string_equal(prefix("192.0.2.77").text().c_str(), "192.0.2.77");
    assert_string_equal(prefix("192.0.2.77/32").text().c_str(), "192.0.2.77");
    assert_string_equal(prefix("0.0.0.0/0").text().c_str(), "0.0.0.0/0");
    assert_string_equal(prefix("2001:DB8::1/32").text().c_str(), "2001:db8::/32");
    assert_string_equal(prefix("2001:db8::1").text().c_str(), "2001:db8::1");
    assert_string_equal(prefix("::/0").text().c_str(), "::/0");
    assert_string_equal(prefix("2001:db8:1:2:3::/65").text().c_str(), "2001:db8:1:2::/65");
    assert_true(prefix("::/0") == Prefix{});
}

void test_parse_when_no_prefix_then_none(void** /*state*/) {
    for (const char* const text :
         {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10/8", "::/129",
          "10.0.0.0/ 8", "10.0.0.0/0x8", "example.org/8", "fe80::%lo/64", "fe80::1%lo",
          "10.0.0.0/255.0.0.0", "10.0.0.0/99999999999999999999"}) {
        if (Prefix::parse(text)) {
            fail_msg("\"%s\" was taken for a prefix", text);
        }
    }
}

// limits 9: a client is the same one on whatever socket it comes in.
void test_mapped_v4_is_v4(void** /*state*/) {
    assert_true(bits("::ffff:192.0.2.1") == bits("192.0.2.1"));
    assert_true(prefix("192.0.2.0/24").contains(bits("::ffff:192.0.2.1")));
    assert_false(prefix("::/0").contains(bits("192.0.2.1")));
    assert_false(prefix("0.0.0.0/0").contains(bits("2001:db8::1")));
    assert_string_equal(Prefix(bits("192.0.2.1"), 128).text().c_str(), "192.0.2.1");
}

// limits 23
void test_contains_when_another_prefix_then_all_of_it(void** /*state*/) {
    assert_true(prefix("192.0.2.0/24").contains(prefix("192.0.2.0/24")));
    assert_true(prefix("192.0.2.0/24").contains(prefix("192.0.2.128/25")));
    assert_false(prefix("192.0.2.128/25").contains(prefix("192.0.2.0/24")));
    assert_false(prefix("::/0").contains(prefix("192.0.2.0/24")));
    assert_false(prefix("0.0.0.0/0").contains(prefix("::/0")));
    assert_true(prefix("::/0").contains(prefix("2001:db8::/32")));
    assert_true(prefix("192.0.2.128/25").overlaps(prefix("192.0.2.0/24")));
    assert_true(prefix("192.0.2.0/24").overlaps(prefix("192.0.2.7")));
    assert_false(prefix("192.0.2.0/25").overlaps(prefix("192.0.2.128/25")));
    assert_false(prefix("0.0.0.0/0").overlaps(prefix("::/0")));
}

/// Against one bit after the other, for each length.
void check_every_length(const char* literal) {
    const AddressBits address = bits(literal);
    const unsigned first = address.is_v4() ? Prefix::v4_offset : 0;
    for (unsigned length = first; length <= Prefix::host_length; ++length) {
        const Prefix cut{address, length};
        assert_int_equal(cut.length(), length);
        assert_true(cut.contains(address));
        assert_true(cut.contains(cut.bits()));
        assert_true(Prefix::parse(cut.text()) == cut);
        for (unsigned bit = 0; bit < Prefix::host_length; ++bit) {
            AddressBits other = address;
            (bit < 64 ? other.high : other.low) ^= std::uint64_t{1} << (63 - bit % 64);
            assert_int_equal(cut.contains(other), bit >= length);
        }
    }
}

void test_contains_when_any_length_then_its_first_bits_count(void** /*state*/) {
    check_every_length("192.0.2.173");
    check_every_length("2001:db8:f00:ba12:3456:789a:bcde:f013");
    check_every_length("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

void test_of_when_family_then_its_length(void** /*state*/) {
    assert_string_equal(Prefix::of(bits("192.0.2.173"), 24, 56).text().c_str(), "192.0.2.0/24");
    assert_string_equal(Prefix::of(bits("2001:db8:1:2ff::1"), 24, 56).text().c_str(),
                        "2001:db8:1:200::/56");
}

// limits 46
void test_find_when_prefixes_overlap_then_the_longest_counts(void** /*state*/) {
    PrefixMap<int> map;
    map.set(prefix("0.0.0.0/0"), 0);
    map.set(prefix("10.1.2.0/24"), 24);
    map.set(prefix("10.0.0.0/8"), 8);
    map.set(prefix("10.1.0.0/16"), 16);
    map.set(prefix("2001:db8::/32"), 6);
    map.set(prefix("10.1.0.0/16"), 17);
    assert_int_equal(map.find(bits("10.1.2.3"))->second, 24);
    assert_string_equal(map.find(bits("10.1.2.3"))->first.text().c_str(), "10.1.2.0/24");
    assert_int_equal(map.find(bits("10.1.3.3"))->second, 17);
    assert_int_equal(map.find(bits("10.2.2.3"))->second, 8);
    assert_int_equal(map.find(bits("11.1.2.3"))->second, 0);
    assert_int_equal(map.find(bits("2001:db8::3"))->second, 6);
    assert_null(map.find(bits("2001:db9::3")));
    assert_null(PrefixMap<int>{}.find(bits("10.1.2.3")));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_when_prefix_then_text_is_canonical),
        cmocka_unit_test(test_parse_when_no_prefix_then_none),
        cmocka_unit_test(test_mapped_v4_is_v4),
        cmocka_unit_test(test_contains_when_another_prefix_then_all_of_it),
        cmocka_unit_test(test_contains_when_any_length_then_its_first_bits_count),
        cmocka_unit_test(test_of_when_family_then_its_length),
        cmocka_unit_test(test_find_when_prefixes_overlap_then_the_longest_counts),
    };
    return cmocka_run_group_tests_name("base/prefix", tests, nullptr, nullptr);
}
