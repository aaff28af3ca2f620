// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/date.hh"

#include "unit.hh"

#include <array>

using dotproxy::http::Date;

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

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_at_writes_what_the_rfc_says),
        cmocka_unit_test(test_at_times_that_have_no_such_date_gives_the_first),
        cmocka_unit_test(test_at_the_same_second_gives_the_same_text),
    };
    return cmocka_run_group_tests_name("http/date", tests, nullptr, nullptr);
}
