// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "ctl/name_text.hh"

#include "unit.hh"

#include <string>

using dotproxy::ctl::hex;
using dotproxy::ctl::parse_type;

namespace {

void test_parse_type_then_its_number(void** /*state*/) {
    assert_int_equal(*parse_type("A"), 1);
    assert_int_equal(*parse_type("aaaa"), 28);
    assert_int_equal(*parse_type("Https"), 65);
    assert_int_equal(*parse_type("CAA"), 257);
    assert_int_equal(*parse_type("TYPE1"), 1);
    assert_int_equal(*parse_type("type65535"), 65535);
}

void test_parse_type_when_none_then_none(void** /*state*/) {
    for (const char* const text :
         {"", "1", "AAAAA", "TYPE", "TYPE0", "TYPE65536", "TYPE-1", "TYPE1x", "TYPE 1", "IN"}) {
        if (parse_type(text)) {
            fail_msg("\"%s\" was taken for a type", text);
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_type_then_its_number),
        cmocka_unit_test(test_parse_type_when_none_then_none),
    };
    return cmocka_run_group_tests_name("ctl/name_text", tests, nullptr, nullptr);
}
