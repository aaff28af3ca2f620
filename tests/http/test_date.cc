// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/date.hh"

#include "unit.hh"

#include <array>
#include <ctime>
#include <string>
#include <string_view>

using dotproxy::http::Date;
using dotproxy::http::parse_date;

namespace {

void test_at_writes_what_the_rfc_says(void** /*state*/) {
    Date date;
    assert_true(date.at(784'111'777) == "Sun, 06 Nov 1994 08:49:37 GMT"); // RFC 9110, 5.6.7
    assert_true(date.at(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_true(date.at(1'709'251'199) == "Thu, 29 Feb 2024 23:59:59 GMT");
    assert_true(date.at(253'402'300'799) == "Fri, 31 Dec 9999 23:59:59 GMT");
}

void test_at_times_that_have_no_such_date_gives_the_first(void** /*state*/) {
    Date date;
    assert_true(date.at(-1) == "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_true(date.at(253'402'300'800) == "Thu, 01 Jan 1970 00:00:00 GMT");
}

// E53: what was written for this second is given out again.
void test_at_the_same_second_gives_the_same_text(void** /*state*/) {
    Date date;
    const std::string_view first = date.at(784'111'777);
    const std::string_view again = date.at(784'111'777);
    assert_true(first.data() == again.data() && first == again);
    assert_true(date.at(784'111'778) == "Sun, 06 Nov 1994 08:49:38 GMT");
}

void test_parse_reads_what_the_rfc_says(void** /*state*/) {
    assert_true(parse_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784'111'777);
    assert_true(parse_date("Thu, 01 Jan 1970 00:00:00 GMT") == 0);
    assert_true(parse_date("Thu, 29 Feb 2024 23:59:59 GMT") == 1'709'251'199);
    assert_true(parse_date("Fri, 31 Dec 9999 23:59:59 GMT") == 253'402'300'799);
    assert_true(parse_date("Wed, 31 Dec 1969 23:59:59 GMT") == -1);
    assert_true(parse_date("Mon, 06 Nov 1994 08:49:37 GMT") == 784'111'777); // it was no Monday
}

void test_parse_gives_back_what_was_written(void** /*state*/) {
    Date date;
    for (std::time_t now = 0; now < 253'402'300'800; now += 86'400 * 37 + 3'671) {
        assert_true(parse_date(date.at(now)) == now);
    }
}

void test_parse_of_anything_else_gives_none(void** /*state*/) {
    const std::string good = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (std::size_t size = 0; size < good.size(); ++size) {
        assert_false(parse_date(std::string_view{good}.substr(0, size)).has_value());
    }
    for (const std::string_view text :
         {"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", // RFC 9110: obsolete
          "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 gmt",
          "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
          "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
          "Thu, 29 Feb 2023 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
          "Sun,  6 Nov 1994 08:49:37 GMT", "Sun, +6 Nov 1994 08:49:37 GMT",
          "Sun, 06 Nov -994 08:49:37 GMT", "Sun, 06 Nov 1994 -8:49:37 GMT",
          "Sun, 06 Nov 1994 08:4 :37 GMT", "Sun, 06 Nov 1994 0a:49:37 GMT"}) {
        assert_false(parse_date(text).has_value());
    }
}

// Nor of what has its digits in the right places and is none.
void test_parse_of_what_is_nearly_a_date_gives_none(void** /*state*/) {
    for (const std::string_view text :
         {"Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 99:00:00 GMT",
          "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
          "Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06 Nov 1994 08.49.37 GMT",
          "Sun, 06 Nov 1994T08:49:37 GMT", "xxxxx06 Nov 1994 08:49:37 GMT"}) {
        if (parse_date(text)) {
            fail_msg("%s was taken for a date", std::string{text}.c_str());
        }
    }
    assert_true(parse_date("Sat, 31 Dec 2016 23:59:60 GMT") == 1'483'228'800); // a leap second
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_at_writes_what_the_rfc_says),
        cmocka_unit_test(test_at_times_that_have_no_such_date_gives_the_first),
        cmocka_unit_test(test_at_the_same_second_gives_the_same_text),
        cmocka_unit_test(test_parse_reads_what_the_rfc_says),
        cmocka_unit_test(test_parse_gives_back_what_was_written),
        cmocka_unit_test(test_parse_of_anything_else_gives_none),
        cmocka_unit_test(test_parse_of_what_is_nearly_a_date_gives_none),
    };
    return cmocka_run_group_tests_name("http/date", tests, nullptr, nullptr);
}
