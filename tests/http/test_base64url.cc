// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/base64url.hh"

#include "unit.hh"

#include <array>
#include <string>
#include <vector>

using dotproxy::http::base64url_size;
using dotproxy::http::decode_base64url;

namespace {

// What `text` stands for; "none" where it is no base64url.
std::string decoded(std::string_view text) {
    std::vector<std::uint8_t> octets(base64url_size(text.size()));
    const auto size = decode_base64url(text, octets);
    return size ? std::string(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(*size))
                : "none";
}

std::string encoded(const std::string& octets) {
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string text;
    for (std::size_t bit = 0; bit < octets.size() * 8; bit += 6) {
        unsigned value = 0;
        for (std::size_t i = bit; i < bit + 6; ++i) {
            const unsigned octet =
                i / 8 < octets.size() ? static_cast<unsigned char>(octets[i / 8]) : 0;
            value = value << 1U | (octet >> (7 - i % 8) & 1U);
        }
        text += alphabet[value];
    }
    return text;
}

// RFC 4648, section 10, without the padding.
void test_decode_gives_what_the_rfc_says(void** /*state*/) {
    assert_true(decoded("").empty());
    assert_true(decoded("Zg") == "f");
    assert_true(decoded("Zm8") == "fo");
    assert_true(decoded("Zm9v") == "foo");
    assert_true(decoded("Zm9vYg") == "foob");
    assert_true(decoded("Zm9vYmE") == "fooba");
    assert_true(decoded("Zm9vYmFy") == "foobar");
    assert_true(decoded("-_-_") == "\xfb\xff\xbf");
}

void test_decode_gives_back_every_octet_at_every_place(void** /*state*/) {
    for (int octet = 0; octet < 256; ++octet) {
        for (std::size_t size = 1; size < 8; ++size) {
            for (std::size_t place = 0; place < size; ++place) {
                std::string octets(size, '\x5a');
                octets[place] = static_cast<char>(octet);
                assert_true(decoded(encoded(octets)) == octets);
            }
        }
    }
}

// E54: nothing but the 64 characters, neither padding nor the other base64's.
void test_decode_takes_no_other_character(void** /*state*/) {
    constexpr std::string_view good =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int character = 0; character < 256; ++character) {
        const bool is_good = good.find(static_cast<char>(character)) != std::string_view::npos;
        for (std::size_t place = 0; place < 4; ++place) {
            std::string text = "AAAA";
            text[place] = static_cast<char>(character);
            assert_int_equal(decoded(text) != "none", is_good);
        }
    }
    assert_true(decoded("Zg==") == "none");
    assert_true(decoded("Zm8=") == "none");
}

void test_decode_takes_no_length_that_octets_do_not_have(void** /*state*/) {
    for (std::size_t size = 0; size < 40; ++size) {
        assert_int_equal(decoded(std::string(size, 'A')) == "none", size % 4 == 1);
    }
}

// One message has one URL, or it would be asked for and kept more than once.
void test_decode_takes_no_bits_that_are_left_over(void** /*state*/) {
    assert_true(decoded("Zh") == "none");
    assert_true(decoded("Zm9") == "none");
    assert_true(decoded("Zm-") == "none");
    assert_true(decoded("Zm8") == "fo");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_gives_what_the_rfc_says),
        cmocka_unit_test(test_decode_gives_back_every_octet_at_every_place),
        cmocka_unit_test(test_decode_takes_no_other_character),
        cmocka_unit_test(test_decode_takes_no_length_that_octets_do_not_have),
        cmocka_unit_test(test_decode_takes_no_bits_that_are_left_over),
    };
    return cmocka_run_group_tests_name("http/base64url", tests, nullptr, nullptr);
}
