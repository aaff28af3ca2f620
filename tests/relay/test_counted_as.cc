// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/counted_as.hh"

#include "unit.hh"

#include <cstdint>
#include <initializer_list>
#include <set>

using dotproxy::count_of;
using dotproxy::query_type;
using dotproxy::QueryType;
using dotproxy::response_code;
using dotproxy::ResponseCode;

namespace {

// The numbers are those of IANA, so that a wrong constant shows.
void test_query_type_then_each_of_the_list_and_other(void** /*state*/) {
    assert_true(query_type(1) == QueryType::a);
    assert_true(query_type(28) == QueryType::aaaa);
    assert_true(query_type(65) == QueryType::https);
    assert_true(query_type(64) == QueryType::svcb);
    assert_true(query_type(12) == QueryType::ptr);
    assert_true(query_type(16) == QueryType::txt);
    assert_true(query_type(33) == QueryType::srv);
    assert_true(query_type(15) == QueryType::mx);
    assert_true(query_type(2) == QueryType::ns);
    assert_true(query_type(6) == QueryType::soa);
    assert_true(query_type(5) == QueryType::cname);
    assert_true(query_type(43) == QueryType::ds);
    assert_true(query_type(48) == QueryType::dnskey);
    assert_true(query_type(255) == QueryType::any);
    for (const std::uint16_t type : std::initializer_list<std::uint16_t>{0, 3, 257, 65535}) {
        assert_true(query_type(type) == QueryType::other);
    }
}

void test_response_code_then_each_of_the_list_and_other(void** /*state*/) {
    assert_true(response_code(0) == ResponseCode::noerror);
    assert_true(response_code(1) == ResponseCode::formerr);
    assert_true(response_code(2) == ResponseCode::servfail);
    assert_true(response_code(3) == ResponseCode::nxdomain);
    assert_true(response_code(4) == ResponseCode::notimp);
    assert_true(response_code(5) == ResponseCode::refused);
    assert_true(response_code(16) == ResponseCode::badvers);
    for (const std::uint16_t rcode : std::initializer_list<std::uint16_t>{6, 9, 17, 4095, 65535}) {
        assert_true(response_code(rcode) == ResponseCode::other);
    }
}

// Whatever a client asks, the list does not grow.
void test_query_type_when_any_then_one_of_the_list(void** /*state*/) {
    std::set<QueryType> found;
    for (unsigned type = 0; type <= 0xffff; ++type) {
        found.insert(query_type(static_cast<std::uint16_t>(type)));
    }
    assert_int_equal(found.size(), count_of<QueryType>);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_query_type_then_each_of_the_list_and_other),
        cmocka_unit_test(test_response_code_then_each_of_the_list_and_other),
        cmocka_unit_test(test_query_type_when_any_then_one_of_the_list),
    };
    return cmocka_run_group_tests_name("relay/counted_as", tests, nullptr, nullptr);
}
