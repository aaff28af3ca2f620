// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/name.hh"

#include "dns/messages.hh"

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

// Names start behind a header, as they do in messages.
Bytes headed() {
    Bytes bytes;
    bytes.fill(header_size, 0xff);
    return bytes;
}

void test_extent_when_uncompressed_then_counts_the_root(void** /*state*/) {
    Bytes bytes = headed();
    bytes.name("www.example.com").text("tail");
    assert_true(name_extent(bytes.octets(), header_size) == 17U);
    assert_int_equal(name_size(bytes.octets(), header_size), 17);
}

void test_extent_when_root_then_is_one(void** /*state*/) {
    Bytes bytes = headed();
    bytes.name("");
    assert_true(name_extent(bytes.octets(), header_size) == 1U);
}

void test_extent_when_compressed_then_ends_behind_the_first_pointer(void** /*state*/) {
    Bytes bytes = headed();
    bytes.name("example.com"); // 12..24
    bytes.u8(3).text("www").pointer(12);
    assert_true(name_extent(bytes.octets(), 25) == 6U);
    assert_int_equal(name_size(bytes.octets(), 25), 6);
}

void test_extent_when_cut_anywhere_then_is_refused(void** /*state*/) {
    Bytes bytes = headed();
    bytes.name("example.com");
    const std::size_t at = bytes.size();
    bytes.u8(3).text("www").pointer(12);
    for (std::size_t end = at; end < bytes.size(); ++end) {
        assert_false(name_extent(bytes.octets().first(end), at).has_value());
    }
    for (std::size_t end = header_size; end < at; ++end) {
        assert_false(name_extent(bytes.octets().first(end), header_size).has_value());
    }
}

void test_extent_when_label_has_64_octets_then_is_refused(void** /*state*/) {
    Bytes good = headed();
    good.u8(63).fill(63, 'a').u8(0);
    assert_true(name_extent(good.octets(), header_size) == 65U);
    Bytes bad = headed();
    bad.u8(64).fill(64, 'a').u8(0);
    assert_false(name_extent(bad.octets(), header_size).has_value());
    Bytes reserved = headed();
    reserved.u8(0x80).fill(200, 'a').u8(0);
    assert_false(name_extent(reserved.octets(), header_size).has_value());
}

void test_extent_when_longer_than_255_then_is_refused(void** /*state*/) {
    Bytes longest = headed();
    longest.u8(63).fill(63, 'a').u8(63).fill(63, 'a').u8(63).fill(63, 'a').u8(61).fill(61, 'a').u8(
        0);
    assert_true(name_extent(longest.octets(), header_size) == 255U);
    Bytes longer = headed();
    longer.u8(63).fill(63, 'a').u8(63).fill(63, 'a').u8(63).fill(63, 'a').u8(62).fill(62, 'a').u8(
        0);
    assert_false(name_extent(longer.octets(), header_size).has_value());
    // By a pointer, too: 255 octets and one label in front of them.
    const std::size_t at = longest.size();
    longest.u8(1).text("b").pointer(header_size);
    assert_false(name_extent(longest.octets(), at).has_value());
}

void test_extent_when_pointer_leads_forwards_or_to_itself_then_is_refused(void** /*state*/) {
    Bytes self = headed();
    self.pointer(12);
    assert_false(name_extent(self.octets(), 12).has_value());
    Bytes forwards = headed();
    forwards.pointer(14).name("a");
    assert_false(name_extent(forwards.octets(), 12).has_value());
    Bytes own_labels = headed();
    own_labels.u8(1).text("a").pointer(12);
    assert_false(name_extent(own_labels.octets(), 12).has_value());
    Bytes loop = headed();
    loop.u8(1).text("a").pointer(16).u8(1).text("b").pointer(12);
    assert_false(name_extent(loop.octets(), 12).has_value());
    assert_false(name_extent(loop.octets(), 16).has_value());
}

void test_extent_when_pointed_to_name_runs_into_the_pointer_then_is_refused(void** /*state*/) {
    // 20: a label that holds the pointer, and ends behind it.
    Bytes over = headed();
    over.fill(8, 0).u8(3).text("a").pointer(20).u8(0);
    assert_false(name_extent(over.octets(), 22).has_value());
    // What is pointed to goes on as the labels in front of the pointer.
    Bytes last = headed();
    last.fill(8, 0).u8(1).text("a").u8(1).text("b").pointer(20);
    assert_false(name_extent(last.octets(), 22).has_value());
    Bytes apart = headed();
    apart.fill(8, 0).u8(1).text("a").u8(0).u8(1).text("b").pointer(20);
    assert_true(name_extent(apart.octets(), 23) == 4U);
}

void test_extent_when_pointer_leads_into_the_header_then_is_refused(void** /*state*/) {
    Bytes bytes;
    bytes.fill(header_size, 0).pointer(4);
    assert_false(name_extent(bytes.octets(), header_size).has_value());
}

void test_extent_when_pointers_are_many_then_is_refused(void** /*state*/) {
    Bytes bytes = headed();
    bytes.name("a");
    std::size_t last = header_size;
    std::size_t accepted = 0;
    for (unsigned i = 0; i < 100; ++i) {
        const std::size_t at = bytes.size();
        bytes.pointer(last);
        last = at;
        accepted += name_extent(bytes.octets(), at).has_value() ? 1U : 0U;
    }
    assert_int_equal(accepted, 32); // L5
}

void test_read_when_compressed_then_expands_and_folds(void** /*state*/) {
    Bytes bytes = headed();
    bytes.name("Example.COM");
    const std::size_t at = bytes.size();
    bytes.u8(3).text("WwW").pointer(12);
    const std::size_t twice = bytes.size();
    bytes.pointer(at);
    Name name;
    read_name(bytes.octets(), at, name);
    assert_true(same(name.view(), wire_name("www.example.com").octets()));
    read_name(bytes.octets(), twice, name);
    assert_true(same(name.view(), wire_name("www.example.com").octets()));
    assert_int_equal(name_start(bytes.octets(), twice), at);
}

void test_read_when_label_ends_in_zero_octet_then_goes_on(void** /*state*/) {
    Bytes bytes = headed();
    bytes.name("com");
    const std::size_t at = bytes.size();
    bytes.u8(2).u8('a').u8(0).pointer(12);
    Name name;
    read_name(bytes.octets(), at, name);
    Bytes expected;
    expected.u8(2).u8('a').u8(0).name("com");
    assert_true(same(name.view(), expected.octets()));
    assert_true(name_equals(bytes.octets(), at, expected.octets()));
}

void test_equals_when_case_differs_then_holds(void** /*state*/) {
    Bytes bytes = headed();
    bytes.name("eXample.Com");
    const std::size_t at = bytes.size();
    bytes.u8(3).text("WWW").pointer(12);
    assert_true(name_equals(bytes.octets(), at, wire_name("www.example.com").octets()));
    assert_true(name_equals(bytes.octets(), at, wire_name("www.EXAMPLE.com").octets()));
    assert_false(name_equals(bytes.octets(), at, wire_name("example.com").octets()));
    assert_false(name_equals(bytes.octets(), at, wire_name("www.example.co").octets()));
    assert_false(name_equals(bytes.octets(), at, wire_name("www.example.com.x").octets()));
    assert_false(name_equals(bytes.octets(), at, wire_name("").octets()));
}

// Octets beside the letters differ by the same bit and must not be folded (RFC 4343).
void test_same_when_octets_are_no_letters_then_compares_them(void** /*state*/) {
    for (unsigned octet = 0; octet < 256; ++octet) {
        for (const std::size_t position : {0U, 3U, 8U}) { // in a word, and behind the last one
            Bytes upper;
            Bytes other;
            upper.u8(9).fill(position, 'x').u8(octet).fill(8 - position, 'x').u8(0);
            other.u8(9).fill(position, 'x').u8(octet ^ 0x20U).fill(8 - position, 'x').u8(0);
            const unsigned letter = octet & ~0x20U;
            const bool is_letter = letter >= 'A' && letter <= 'Z';
            assert_int_equal(same_name(upper.octets(), other.octets()), is_letter);
        }
    }
}

void test_within_when_octets_match_but_labels_do_not_then_is_false(void** /*state*/) {
    const Bytes zone = wire_name("example.com");
    assert_true(within(wire_name("example.com").octets(), zone.octets()));
    assert_true(within(wire_name("a.b.EXAMPLE.com").octets(), zone.octets()));
    assert_true(within(zone.octets(), wire_name("").octets()));
    assert_false(within(wire_name("com").octets(), zone.octets()));
    assert_false(within(wire_name("badexample.com").octets(), zone.octets()));
    Bytes hidden; // one label that holds the octets of the zone's name
    hidden.u8(13).u8('x').raw(zone.octets().first(12)).u8(0);
    assert_false(within(hidden.octets(), zone.octets()));
}

void test_spelling_when_applied_then_restores_every_letter(void** /*state*/) {
    for (std::size_t size = 1; size <= 63; ++size) {
        Bytes name;
        name.u8(static_cast<unsigned>(size));
        for (std::size_t i = 0; i < size; ++i) {
            const bool upper = i % 5 == 0 || (i * i + size) % 3 == 0;
            name.u8((upper ? 'A' : 'a') + static_cast<unsigned>(i % 26));
        }
        name.u8(0);
        std::array<std::uint8_t, max_name_size> folded{};
        const MutableOctets used = MutableOctets{folded}.first(name.size());
        fold(name.octets(), used);
        assert_false(same(used, name.octets()));
        Spelling{name.octets()}.apply(used);
        assert_true(same(used, name.octets()));
    }
}

void test_spelling_when_name_is_longest_then_restores_its_end(void** /*state*/) {
    Bytes name;
    for (int i = 0; i < 127; ++i) {
        name.u8(1).u8(i % 2 == 0 ? 'Z' : 'z');
    }
    name.u8(0);
    assert_int_equal(name.size(), max_name_size);
    std::array<std::uint8_t, max_name_size> folded{};
    fold(name.octets(), folded);
    assert_int_equal(folded[253], 'z');
    Spelling{name.octets()}.apply(folded);
    assert_true(same(folded, name.octets()));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_extent_when_uncompressed_then_counts_the_root),
        cmocka_unit_test(test_extent_when_root_then_is_one),
        cmocka_unit_test(test_extent_when_compressed_then_ends_behind_the_first_pointer),
        cmocka_unit_test(test_extent_when_cut_anywhere_then_is_refused),
        cmocka_unit_test(test_extent_when_label_has_64_octets_then_is_refused),
        cmocka_unit_test(test_extent_when_longer_than_255_then_is_refused),
        cmocka_unit_test(test_extent_when_pointer_leads_forwards_or_to_itself_then_is_refused),
        cmocka_unit_test(test_extent_when_pointed_to_name_runs_into_the_pointer_then_is_refused),
        cmocka_unit_test(test_extent_when_pointer_leads_into_the_header_then_is_refused),
        cmocka_unit_test(test_extent_when_pointers_are_many_then_is_refused),
        cmocka_unit_test(test_read_when_compressed_then_expands_and_folds),
        cmocka_unit_test(test_read_when_label_ends_in_zero_octet_then_goes_on),
        cmocka_unit_test(test_equals_when_case_differs_then_holds),
        cmocka_unit_test(test_same_when_octets_are_no_letters_then_compares_them),
        cmocka_unit_test(test_within_when_octets_match_but_labels_do_not_then_is_false),
        cmocka_unit_test(test_spelling_when_applied_then_restores_every_letter),
        cmocka_unit_test(test_spelling_when_name_is_longest_then_restores_its_end),
    };
    return cmocka_run_group_tests_name("dns/name", tests, nullptr, nullptr);
}
