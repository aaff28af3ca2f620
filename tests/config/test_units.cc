// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/units.hh"

#include "unit.hh"

using dotproxy::Milliseconds;
using dotproxy::units::duration_text;
using dotproxy::units::parse_duration;
using dotproxy::units::parse_size;
using dotproxy::units::size_text;

namespace {

void test_parse_duration_when_well_formed_then_its_value(void** /*state*/) {
    assert_true(parse_duration("0s") == Milliseconds{0});
    assert_true(parse_duration("200ms") == Milliseconds{200});
    assert_true(parse_duration("5s") == Milliseconds{5000});
    assert_true(parse_duration("2m") == Milliseconds{120000});
    assert_true(parse_duration("3h") == Milliseconds{3 * 3600 * 1000});
    assert_true(parse_duration("1d") == Milliseconds{24 * 3600 * 1000});
    assert_true(parse_duration("1.8s") == Milliseconds{1800});
    assert_true(parse_duration("0.5m") == Milliseconds{30000});
    assert_true(parse_duration("1.0010s") == Milliseconds{1001});
    assert_true(parse_duration("2.0ms") == Milliseconds{2});
}

void test_parse_duration_when_malformed_then_none(void** /*state*/) {
    for (const char* const text :
         {"",      "5",    "s",    "-5s",   "-0s",     "+5s",  "5 s",          " 5s",
          "5s ",   "5S",   "5sec", "1m30s", "1.s",     ".5s",  "1..5s",        "1.5",
          "1.-5s", "0x5s", "5us",  "1.5ms", "1.0001s", "1,5s", "1.0000000000s"}) {
        if (parse_duration(text)) {
            fail_msg("\"%s\" was taken for a duration", text);
        }
    }
}

void test_parse_duration_when_beyond_the_type_then_its_maximum(void** /*state*/) {
    assert_true(parse_duration("9223372036854775807d") == Milliseconds::max());
    assert_true(parse_duration("99999999999999999999s") == Milliseconds::max());
    assert_true(parse_duration("9223372036854775807.999ms") == std::nullopt);
    assert_true(parse_duration("9223372036854775.999s") == Milliseconds::max());
}

void test_parse_size_when_well_formed_then_powers_of_1024(void** /*state*/) {
    assert_true(parse_size("0") == 0U);
    assert_true(parse_size("512") == 512U);
    assert_true(parse_size("4k") == 4096U);
    assert_true(parse_size("4K") == 4096U);
    assert_true(parse_size("64M") == 64U * 1048576U);
    assert_true(parse_size("2G") == 2147483648U);
}

void test_parse_size_when_malformed_then_none(void** /*state*/) {
    for (const char* const text : {"", "k", "-1", "1 k", "1m", "1g", "1kB", "1.5M", "1T"}) {
        if (parse_size(text)) {
            fail_msg("\"%s\" was taken for a size", text);
        }
    }
}

void test_duration_text_then_largest_whole_unit(void** /*state*/) {
    assert_string_equal(duration_text(Milliseconds{0}).c_str(), "0s");
    assert_string_equal(duration_text(Milliseconds{1500}).c_str(), "1500ms");
    assert_string_equal(duration_text(Milliseconds{90000}).c_str(), "90s");
    assert_string_equal(duration_text(Milliseconds{60000}).c_str(), "1m");
    assert_string_equal(duration_text(Milliseconds{24 * 3600 * 1000}).c_str(), "1d");
}

void test_size_text_then_largest_whole_unit(void** /*state*/) {
    assert_string_equal(size_text(0).c_str(), "0");
    assert_string_equal(size_text(1025).c_str(), "1025");
    assert_string_equal(size_text(4096).c_str(), "4K");
    assert_string_equal(size_text(64U << 20U).c_str(), "64M");
    assert_string_equal(size_text(std::uint64_t{64} << 30U).c_str(), "64G");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_duration_when_well_formed_then_its_value),
        cmocka_unit_test(test_parse_duration_when_malformed_then_none),
        cmocka_unit_test(test_parse_duration_when_beyond_the_type_then_its_maximum),
        cmocka_unit_test(test_parse_size_when_well_formed_then_powers_of_1024),
        cmocka_unit_test(test_parse_size_when_malformed_then_none),
        cmocka_unit_test(test_duration_text_then_largest_whole_unit),
        cmocka_unit_test(test_size_text_then_largest_whole_unit),
    };
    return cmocka_run_group_tests_name("config/units", tests, nullptr, nullptr);
}
