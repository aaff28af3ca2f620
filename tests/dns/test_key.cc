// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/key.hh"

#include "dns/messages.hh"

#include <string_view>

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

struct Key {
    std::array<std::uint8_t, max_key_size + 1> octets; // NOLINT: filled by of()
    std::size_t size;

    [[nodiscard]] Octets view() const noexcept { return Octets{octets}.first(size); }
};

Key key_of(const Question& question) {
    Key key; // NOLINT: filled below
    key.size = put_key(question, key.octets);
    return key;
}

Question question(std::string_view name) {
    return parsed(query(name)).question;
}

Question longest() {
    Message message{1, query_flags};
    for (int i = 0; i < 3; ++i) {
        message.u8(63).fill(63, 'a');
    }
    message.u8(61).fill(61, 'b').u8(0).u16(type::a).u16(klass::in);
    message.count(Section::question);
    return parsed(message).question;
}

/// Questions of which no two are equal: each part of one (C80) changed, one at a time.
std::array<Question, 13> different() {
    std::array<Question, 13> all;
    all.fill(question("www.example"));
    all[1].name = question("ww2.example").name;
    all[2].name = question("example").name;
    all[3].name = question("").name;
    all[4].name = longest().name;
    all[5].type = type::aaaa;
    all[6].klass = klass::ch;
    all[7].recursion_desired = false;
    all[8].checking_disabled = true;
    all[9].authentic_data = true;
    all[10].dnssec_ok = true;
    all[11].subnet_opt_out = true;
    all[12].group = 63;
    return all;
}

void test_key_when_read_back_then_is_the_question_it_was_made_of(void** /*state*/) {
    for (const Question& made : different()) { // L21
        const Key key = key_of(made);
        assert_int_equal(key.size, made.name.size + key_fixed_size);
        const std::optional<Question> read = read_key(key.view());
        assert_true(read && *read == made);
        std::array<std::uint8_t, max_query_size> first; // NOLINT: what is compared was written
        std::array<std::uint8_t, max_query_size> again; // NOLINT
        const std::size_t size = write_query(made, 7, true, first);
        assert_int_equal(write_query(*read, 7, true, again), size);
        assert_memory_equal(first.data(), again.data(), size); // C91
    }
}

void test_key_when_the_name_is_longest_then_is_the_largest(void** /*state*/) {
    assert_int_equal(key_of(longest()).size, max_key_size);
}

void test_key_when_questions_differ_then_differs(void** /*state*/) {
    const std::array<Question, 13> all = different();
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t j = 0; j < all.size(); ++j) {
            assert_int_equal(same(key_of(all[i]).view(), key_of(all[j]).view()), i == j); // L19
        }
    }
}

void test_key_when_spelled_otherwise_then_is_the_same(void** /*state*/) {
    assert_true(
        same(key_of(question("wWw.Example")).view(), key_of(question("www.example")).view()));
}

void test_read_when_an_octet_is_missing_or_left_over_then_nothing(void** /*state*/) {
    for (const Question& made : different()) {
        Key key = key_of(made);
        const std::size_t whole = key.size;
        for (key.size = 0; key.size < whole; ++key.size) {
            assert_false(read_key(key.view()).has_value());
        }
        key.octets[whole] = 0;
        key.size = whole + 1;
        assert_false(read_key(key.view()).has_value());
    }
}

void test_read_when_no_question_has_such_a_key_then_nothing(void** /*state*/) {
    struct {
        std::size_t at;
        std::uint8_t octet;
    } const changes[] = {
        {1, 'W'},               // not folded
        {0, 4},     {0, 2},     // labels that end elsewhere
        {0, 64},    {0, 0xc0},  // no label
        {4, 0},                 // the name ends before the type
        {12, 1},                // it does not end
        {18, 0x20}, {18, 0x81}, // flags there are none of
    };

    for (const auto& [at, octet] : changes) {
        Key key = key_of(question("www.example"));
        assert_int_equal(key.size, 19);
        assert_true(read_key(key.view()).has_value());
        key.octets[at] = octet;
        assert_false(read_key(key.view()).has_value());
    }
}

void test_read_when_a_name_is_too_long_then_nothing(void** /*state*/) {
    Bytes key;
    for (int i = 0; i < 127; ++i) {
        key.text("\1a");
    }
    key.text("\1a").u8(0).fill(key_fixed_size, 0);
    assert_false(read_key(key.octets()).has_value());
    Bytes fits;
    for (int i = 0; i < 127; ++i) {
        fits.text("\1a");
    }
    fits.u8(0).fill(key_fixed_size, 0);
    assert_true(read_key(fits.octets()).has_value());
}

void test_read_when_octets_are_random_then_is_what_would_be_written(void** /*state*/) {
    std::uint32_t state = 1;
    std::size_t read_ones = 0;
    for (int round = 0; round < 200000; ++round) {
        Key key{};
        state = state * 1664525 + 1013904223;
        key.size = state >> 27U;
        for (std::uint8_t& octet : MutableOctets{key.octets}.first(key.size)) {
            state = state * 1664525 + 1013904223;
            octet = static_cast<std::uint8_t>((state >> 24U) & 7U);
        }
        if (const std::optional<Question> read = read_key(key.view())) {
            ++read_ones;
            assert_true(same(key_of(*read).view(), key.view()));
        }
    }
    assert_true(read_ones > 1000);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_key_when_read_back_then_is_the_question_it_was_made_of),
        cmocka_unit_test(test_key_when_the_name_is_longest_then_is_the_largest),
        cmocka_unit_test(test_key_when_questions_differ_then_differs),
        cmocka_unit_test(test_key_when_spelled_otherwise_then_is_the_same),
        cmocka_unit_test(test_read_when_an_octet_is_missing_or_left_over_then_nothing),
        cmocka_unit_test(test_read_when_no_question_has_such_a_key_then_nothing),
        cmocka_unit_test(test_read_when_a_name_is_too_long_then_nothing),
        cmocka_unit_test(test_read_when_octets_are_random_then_is_what_would_be_written),
    };
    return cmocka_run_group_tests_name("dns/key", tests, nullptr, nullptr);
}
