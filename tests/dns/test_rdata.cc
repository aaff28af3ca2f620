// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A row is a type and an RDATA that it can have. From it the others are made that it cannot have:
// cut short, and with an octet too many.

#include "dns/rdata.hh"

#include "dns/messages.hh"

#include <string_view>

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;
using namespace std::string_view_literals;

namespace {

struct Row {
    unsigned type;
    std::string_view rdata;
};

bool is_sound(unsigned rtype, Octets rdata, unsigned klass = klass::in) {
    Message message = response("www.example.com");
    const std::size_t at = message.size();
    message.record(Section::answer, "", rtype, rdata, klass);
    message.fill(300, 1); // what lies behind must not be taken for a part of it
    return is_rdata_sound(message.octets(), *record_at(message.octets(), at));
}

bool is_sound(unsigned rtype, std::string_view rdata, unsigned klass = klass::in) {
    Bytes octets;
    octets.text(rdata);
    return is_sound(rtype, octets.octets(), klass);
}

#define NAME "\1a\2bc\0"

// Nothing may be cut off, and nothing added.
constexpr Row exact[] = {
    {1, "\xc0\0\2\1"sv},                     // A
    {2, NAME ""sv},                          // NS
    {3, NAME ""sv},                          // MD
    {4, NAME ""sv},                          // MF
    {5, NAME ""sv},                          // CNAME
    {6, NAME NAME "0123456789abcdefghij"sv}, // SOA
    {7, NAME ""sv},                          // MB
    {8, NAME ""sv},                          // MG
    {9, NAME ""sv},                          // MR
    {12, NAME ""sv},                         // PTR
    {13, "\3cpu\2os"sv},                     // HINFO
    {14, NAME NAME ""sv},                    // MINFO
    {15, "\0\1" NAME ""sv},                  // MX
    {16, "\4text"sv},                        // TXT
    {17, NAME NAME ""sv},                    // RP
    {18, "\0\1" NAME ""sv},                  // AFSDB
    {19, "\3x25"sv},                         // X25
    {20, "\4isdn"sv},                        // ISDN
    {21, "\0\1" NAME ""sv},                  // RT
    {23, NAME ""sv},                         // NSAP-PTR
    {26, "\0\1" NAME NAME ""sv},             // PX
    {27, "\1\61\1\62\1\63"sv},               // GPOS
    {28, "0123456789abcdef"sv},              // AAAA
    {29, "\0\1\2\3"
         "456789abcdef"sv},               // LOC
    {33, "\0\1\0\2\0\3" NAME ""sv},       // SRV
    {35, "\0\1\0\2\1u\1s\1r" NAME ""sv},  // NAPTR
    {36, "\0\1" NAME ""sv},               // KX
    {39, NAME ""sv},                      // DNAME
    {42, "\0\1\x18\3\xc0\0\2"sv},         // APL
    {47, NAME "\0\1\x40"sv},              // NSEC
    {50, "\1\0\0\1\1s\2hh\0\1\x40"sv},    // NSEC3
    {51, "\1\0\0\1\2sa"sv},               // NSEC3PARAM
    {62, "\0\0\0\1\0\3\0\1\x40"sv},       // CSYNC
    {64, "\0\1" NAME "\0\3\0\2\1\xbb"sv}, // SVCB
    {65, "\0\1" NAME "\0\3\0\2\1\xbb"sv}, // HTTPS
    {99, "\4text"sv},                     // SPF
    {104, "0123456789"sv},                // NID
    {105, "012345"sv},                    // L32
    {106, "0123456789"sv},                // L64
    {107, "\0\1" NAME ""sv},              // LP
    {108, "012345"sv},                    // EUI48
    {109, "01234567"sv},                  // EUI64
};

// What is given is the least; anything may follow.
constexpr Row open[] = {
    {11, "\xc0\0\2\1\6"sv},                // WKS
    {24, "0123456789abcdefgh" NAME "s"sv}, // SIG
    {25, "\0\0\3\5"sv},                    // KEY
    {30, NAME "\1"sv},                     // NXT
    {37, "\0\1\0\2\5"sv},                  // CERT
    {43, "\0\1\5\2d"sv},                   // DS
    {44, "\1\1f"sv},                       // SSHFP
    {45, "\1\0\0"sv},                      // IPSECKEY
    {46, "0123456789abcdefgh" NAME "s"sv}, // RRSIG
    {48, "\1\0\3\5k"sv},                   // DNSKEY
    {49, "\0\1\1"sv},                      // DHCID
    {52, "\3\1\1d"sv},                     // TLSA
    {53, "\3\1\1d"sv},                     // SMIMEA
    {59, "\0\0\0\0\0"sv},                  // CDS: "delete"
    {60, "\0\0\3\0\0"sv},                  // CDNSKEY: "delete"
    {61, "k"sv},                           // OPENPGPKEY
    {63, "\0\0\0\1\1\1d"sv},               // ZONEMD
    {256, "\0\1\0\1t"sv},                  // URI
    {257, "\0\5issue"sv},                  // CAA
};

void test_rdata_when_form_is_exact_then_no_other_size_is_sound(void** /*state*/) {
    for (const auto& [rtype, rdata] : exact) {
        assert_true(is_sound(rtype, rdata));
        for (std::size_t size = 0; size < rdata.size(); ++size) {
            // An NSEC's bitmap may be empty, and so may the parameters of SVCB.
            const bool whole =
                ((rtype == 47 || rtype == 50 || rtype == 62) && size + 3 == rdata.size()) ||
                ((rtype == 64 || rtype == 65) && size + 6 == rdata.size()) ||
                (rtype == 42 && size == 0);
            assert_int_equal(is_sound(rtype, rdata.substr(0, size)), whole);
        }
        Bytes longer;
        longer.text(rdata).u8(9);
        assert_false(is_sound(rtype, longer.octets()));
    }
}

void test_rdata_when_form_is_open_then_has_a_least_size(void** /*state*/) {
    for (const auto& [rtype, rdata] : open) {
        assert_true(is_sound(rtype, rdata));
        for (std::size_t size = 0; size < rdata.size(); ++size) {
            assert_false(is_sound(rtype, rdata.substr(0, size)));
        }
        Bytes longer;
        longer.text(rdata).fill(40, 0xc0);
        assert_true(is_sound(rtype, longer.octets()));
    }
}

void test_rdata_when_strings_then_fill_it(void** /*state*/) {
    for (const unsigned rtype : {16U, 99U}) {
        assert_true(is_sound(rtype, "\0"sv)); // an empty one is one
        assert_true(is_sound(rtype, "\1a\0\2bc"sv));
        assert_false(is_sound(rtype, ""sv));
        assert_false(is_sound(rtype, "\1a\3bc"sv));
    }
    assert_true(is_sound(13, "\7RFC8482\0"sv)); // RFC 8482, section 4.2
}

void test_rdata_when_name_is_compressed_then_ends_behind_the_pointer(void** /*state*/) {
    assert_true(is_sound(2, "\xc0\x0c"sv));
    assert_true(is_sound(15, "\0\1\1a\xc0\x0c"sv));
    assert_true(is_sound(33, "\0\1\0\2\0\3\xc0\x0c"sv));
    assert_false(is_sound(2, "\xc0\x0c\0"sv));
    assert_false(is_sound(2, "\xc0"sv));
    assert_false(is_sound(2, "\xff\xff"sv)); // to nowhere
    assert_false(is_sound(2, "\x40"
                             "a"sv)); // no kind of label
}

void test_rdata_when_bitmap_is_not_one_then_is_unsound(void** /*state*/) {
    assert_true(is_sound(47, NAME "\0\1\x40\1\1\x40"sv));
    assert_false(is_sound(47, NAME "\1\1\x40\0\1\x40"sv)); // falling windows
    assert_false(is_sound(47, NAME "\0\1\x40\0\1\x40"sv)); // the same twice
    assert_false(is_sound(47, NAME "\0\0"sv));             // an empty window
    assert_false(is_sound(47, NAME "\0\41"
                                   "0123456789abcdef0123456789abcdef0"sv)); // 33 octets
}

void test_rdata_when_parameters_are_in_no_order_then_is_unsound(void** /*state*/) {
    assert_true(is_sound(65, "\0\1\0\0\1\0\3\2h2\0\3\0\2\1\xbb"sv));
    assert_false(is_sound(65, "\0\1\0\0\3\0\2\1\xbb\0\1\0\3\2h2"sv));
    assert_false(is_sound(65, "\0\1\0\0\3\0\0\0\3\0\0"sv));
}

void test_rdata_when_another_class_then_only_what_belongs_to_all_is_looked_at(void** /*state*/) {
    assert_true(is_sound(1, NAME "\0\1"sv, klass::ch)); // an address of Chaosnet
    assert_true(is_sound(28, "x"sv, klass::ch));
    assert_true(is_sound(33, "x"sv, 4));
    assert_true(is_sound(16, "\1x"sv, klass::ch));
    assert_false(is_sound(16, "\2x"sv, klass::ch));
    assert_false(is_sound(5, "x"sv, klass::ch));
}

void test_rdata_when_type_is_unknown_then_is_sound(void** /*state*/) {
    for (const unsigned rtype :
         {0U, 10U, 22U, 31U, 38U, 55U, 110U, 128U, 250U, 258U, 32769U, 65280U, 65535U}) { // C21
        assert_true(is_sound(rtype, ""sv));
        assert_true(is_sound(rtype, "\xc0\xc0\xc0"sv));
    }
}

void test_rdata_when_location_is_of_a_later_version_then_is_sound(void** /*state*/) {
    assert_true(is_sound(29, "\1later"sv));
    assert_false(is_sound(29, "\0later"sv));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_rdata_when_form_is_exact_then_no_other_size_is_sound),
        cmocka_unit_test(test_rdata_when_form_is_open_then_has_a_least_size),
        cmocka_unit_test(test_rdata_when_strings_then_fill_it),
        cmocka_unit_test(test_rdata_when_name_is_compressed_then_ends_behind_the_pointer),
        cmocka_unit_test(test_rdata_when_bitmap_is_not_one_then_is_unsound),
        cmocka_unit_test(test_rdata_when_parameters_are_in_no_order_then_is_unsound),
        cmocka_unit_test(test_rdata_when_another_class_then_only_what_belongs_to_all_is_looked_at),
        cmocka_unit_test(test_rdata_when_type_is_unknown_then_is_sound),
        cmocka_unit_test(test_rdata_when_location_is_of_a_later_version_then_is_sound),
    };
    return cmocka_run_group_tests_name("dns/rdata", tests, nullptr, nullptr);
}
