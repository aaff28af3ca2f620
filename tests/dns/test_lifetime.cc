// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// How long an answer stands for who knows no DNS (E59).

#include "dns/lifetime.hh"

#include "dns/messages.hh"
#include "unit.hh"

#include <cstdint>

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

constexpr unsigned nxdomain = response_flags | 3U;

Message response(unsigned flags = response_flags) {
    return Message{0, flags}.question("www.example", type::a);
}

Bytes soa_with(std::uint32_t minimum) {
    return Bytes{}.name("ns.example").name("root.example").u32(1).u32(2).u32(3).u32(4).u32(minimum);
}

void add(Message& message, Section section, unsigned rtype, std::uint32_t ttl, Octets rdata) {
    message.name("www.example");
    message.rest(section, rtype, rdata, klass::in, ttl);
}

long long seconds_of(const Message& message) {
    return lifetime_of(message.octets()).count();
}

void test_answer_then_its_shortest_ttl(void** /*state*/) {
    Message message = response();
    add(message, Section::answer, type::a, 300, address);
    assert_int_equal(seconds_of(message), 300);
    add(message, Section::answer, type::a, 60, address);
    add(message, Section::authority, type::ns, 5, rdata_of(type::ns).octets());
    add(message, Section::additional, type::a, 5, address);
    assert_int_equal(seconds_of(message), 60); // RFC 8484, section 5.1: of the answer section
}

void test_ttl_with_its_highest_bit_set_then_0(void** /*state*/) {
    Message message = response();
    add(message, Section::answer, type::a, 0x80000001, address);
    assert_int_equal(seconds_of(message), 0);
}

void test_denial_then_what_its_soa_says(void** /*state*/) {
    for (const unsigned flags : {response_flags, nxdomain}) {
        Message message = response(flags);
        add(message, Section::authority, type::soa, 900, soa_with(300).octets());
        assert_int_equal(seconds_of(message), 300);
        Message shorter = response(flags);
        add(shorter, Section::authority, type::soa, 30, soa_with(300).octets());
        assert_int_equal(seconds_of(shorter), 30);
    }
}

void test_alias_that_leads_nowhere_then_the_shorter_of_both(void** /*state*/) {
    Message message = response(nxdomain);
    add(message, Section::answer, type::cname, 600, rdata_of(type::cname).octets());
    add(message, Section::authority, type::soa, 900, soa_with(20).octets());
    assert_int_equal(seconds_of(message), 20);
}

void test_nothing_said_then_0(void** /*state*/) {
    assert_int_equal(seconds_of(response()), 0);
    assert_int_equal(seconds_of(response(nxdomain)), 0);
    Message opt = response();
    opt.opt();
    assert_int_equal(seconds_of(opt), 0);
    for (const unsigned rcode : {1U, 2U, 4U, 5U}) {
        Message failure = response(response_flags | rcode);
        add(failure, Section::answer, type::a, 300, address);
        assert_int_equal(seconds_of(failure), 0);
    }
    Message cut = response(response_flags | flag::truncated);
    add(cut, Section::answer, type::a, 300, address);
    assert_int_equal(seconds_of(cut), 0);
}

void test_message_that_is_not_whole_then_0(void** /*state*/) {
    Message message = response();
    add(message, Section::answer, type::a, 300, address);
    for (std::size_t size = 0; size < message.size(); ++size) {
        assert_int_equal(lifetime_of(message.octets().first(size)).count(), 0);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_then_its_shortest_ttl),
        cmocka_unit_test(test_ttl_with_its_highest_bit_set_then_0),
        cmocka_unit_test(test_denial_then_what_its_soa_says),
        cmocka_unit_test(test_alias_that_leads_nowhere_then_the_shorter_of_both),
        cmocka_unit_test(test_nothing_said_then_0),
        cmocka_unit_test(test_message_that_is_not_whole_then_0),
    };
    return cmocka_run_group_tests_name("dns/lifetime", tests, nullptr, nullptr);
}
