// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// SipHash against vectors that others computed. SipHash-2-4: that of the paper's appendix, with the
// key 00 01 .. 0f. SipHash-1-3: with the same key, of the authors' reference implementation with 1
// and 3 rounds, and with the key 0 as CPython 3.11 hashes bytes under PYTHONHASHSEED=0.

#include "base/siphash.hh"

#include "unit.hh"

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

using dotproxy::SipHash;

namespace {

constexpr SipHash::Key paper_key{0x0706050403020100U, 0x0f0e0d0c0b0a0908U};

std::span<const std::uint8_t> octets(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void test_hash_when_key_and_input_count_up_then_as_the_reference(void** /*state*/) {
    struct Vector {
        std::size_t size;
        std::uint64_t hash;
    };

    // Around each end of a word: the last word holds the rest and the size.
    constexpr std::array<Vector, 8> vectors{{{0, 0xabac0158050fc4dcU},
                                             {1, 0xc9f49bf37d57ca93U},
                                             {7, 0xd3927d989bb11140U},
                                             {8, 0x369095118d299a8eU},
                                             {9, 0x25a48eb36c063de4U},
                                             {15, 0xd320d86d2a519956U},
                                             {16, 0xcc4fdd1a7d908b66U},
                                             {63, 0x9d199062b7bbb3a8U}}};
    std::array<std::uint8_t, 64> input{};
    std::iota(input.begin(), input.end(), std::uint8_t{0});
    const SipHash hash{paper_key};
    for (const Vector& vector : vectors) {
        assert_int_equal(hash(std::span{input}.first(vector.size)), vector.hash);
    }
}

void test_hash_when_of_2_and_4_rounds_then_as_the_paper(void** /*state*/) {
    std::array<std::uint8_t, 15> input{};
    std::iota(input.begin(), input.end(), std::uint8_t{0});
    assert_int_equal(dotproxy::SipHash24{paper_key}(input), 0xa129ca6149be45e5U);
}

void test_hash_when_key_is_zero_then_as_cpython(void** /*state*/) {
    const SipHash hash{{0, 0}};
    assert_int_equal(hash(octets("a")), 0x407448d2b89b1813U);
    assert_int_equal(hash(octets("abcdefg")), 0x6db12aae9070f506U);
    assert_int_equal(hash(octets("abcdefgh")), 0x3f7b849c0b8e35eaU);
    assert_int_equal(hash(octets("example.com")), 0x7e0432aaedb1758cU);
}

// The size goes into the hash modulo 256; what is longer must still be told apart.
void test_hash_when_longer_than_256_octets_then_as_cpython(void** /*state*/) {
    std::array<std::uint8_t, 280> input{};
    for (std::size_t i = 0; i < input.size(); ++i) {
        input.at(i) = static_cast<std::uint8_t>(200 + i % 56);
    }
    assert_int_equal(SipHash({0, 0})(input), 0x5b65b093d981219aU);
}

void test_hash_when_the_memory_is_not_aligned_then_the_same(void** /*state*/) {
    std::array<std::uint8_t, 40> memory{};
    const SipHash hash{paper_key};
    const std::string_view text = "neither end of this is on a word";
    const std::uint64_t wanted = hash(octets(text));
    for (std::size_t offset = 0; offset < 8; ++offset) {
        std::copy(text.begin(), text.end(), memory.begin() + static_cast<std::ptrdiff_t>(offset));
        assert_int_equal(hash(std::span{memory}.subspan(offset, text.size())), wanted);
    }
}

// Without the key nobody can tell what collides (L19): each half of it must count.
void test_hash_when_one_bit_of_the_key_differs_then_another_hash(void** /*state*/) {
    const auto input = octets("example.com");
    const std::uint64_t wanted = SipHash{paper_key}(input);
    for (unsigned bit = 0; bit < 64; ++bit) {
        const std::uint64_t flip = std::uint64_t{1} << bit;
        assert_int_not_equal(SipHash({paper_key.k0 ^ flip, paper_key.k1})(input), wanted);
        assert_int_not_equal(SipHash({paper_key.k0, paper_key.k1 ^ flip})(input), wanted);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_when_key_and_input_count_up_then_as_the_reference),
        cmocka_unit_test(test_hash_when_of_2_and_4_rounds_then_as_the_paper),
        cmocka_unit_test(test_hash_when_key_is_zero_then_as_cpython),
        cmocka_unit_test(test_hash_when_longer_than_256_octets_then_as_cpython),
        cmocka_unit_test(test_hash_when_the_memory_is_not_aligned_then_the_same),
        cmocka_unit_test(test_hash_when_one_bit_of_the_key_differs_then_another_hash),
    };
    return cmocka_run_group_tests_name("base/siphash", tests, nullptr, nullptr);
}
