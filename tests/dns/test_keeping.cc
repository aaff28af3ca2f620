// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What of dns/kept.hh says whether and for how long an answer is kept.

#include "dns/kept.hh"

#include "dns/keeping.hh"

#include <utility>

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;
using namespace std::chrono_literals;

namespace {

void test_keeping_when_positive_then_ttl_is_the_least_of_all(void** /*state*/) {
    for (std::size_t least = 0; least < 4; ++least) {
        std::array<std::uint32_t, 4> ttls{900, 900, 900, 900};
        ttls[least] = 17;
        Message from = response("www.example.com");
        add(from, Section::answer, type::a, address, ttls[0]);
        add(from, Section::answer, type::a, address, ttls[1]);
        add(from, Section::authority, type::ns, wire_name("ns.example").octets(), ttls[2], 16);
        add(from, Section::additional, type::a, address, ttls[3], 16);
        from.opt({}, 1232, 0);                  // no TTL at all
        assert_kept(keeping(from), false, 17s); // C81
    }
}

void test_keeping_when_ttl_is_at_an_edge_then_is_0_or_capped(void** /*state*/) {
    struct {
        std::uint32_t ttl;
        std::uint32_t kept; // 0: not
    } const cases[] = {
        {0, 0},          {1, 1},         {days7, days7}, {days7 + 1, days7}, {0x7fffffff, days7},
        {0x80000000, 0}, {0xffffffff, 0}}; // L22, C82

    for (const auto& [ttl, kept] : cases) {
        for (const Section section : {Section::answer, Section::authority, Section::additional}) {
            Message from = response("www.example.com");
            add(from, Section::answer, type::a, address, section == Section::answer ? ttl : days7);
            if (section != Section::answer) {
                add(from, section, type::txt, rdata_of(type::txt).octets(), ttl, 16);
            }
            const TtlPolicy raising{.min_ttl = 1s, .max_ttl = 365 * 24h, .max_negative_ttl = 1s};
            const Keeping found = keeping(from, raising); // nothing raises 0
            assert_true(found.keep == (kept != 0 ? Keep::answer : Keep::no));
            assert_int_equal(found.ttl.count(), kept);
        }
    }
}

void test_keeping_when_policy_has_bounds_then_keeps_to_them(void** /*state*/) {
    const TtlPolicy policy{.min_ttl = 60s, .max_ttl = 600s, .max_negative_ttl = 90s};
    assert_kept(keeping(with_address(1), policy), false, 60s);
    assert_kept(keeping(with_address(61), policy), false, 61s);
    assert_kept(keeping(with_address(601), policy), false, 600s);
    for (const unsigned rcode : {0U, 3U}) { // the minimum is for positive answers
        assert_kept(keeping(denial(rcode, 1, 300), policy), true, 1s);
        assert_kept(keeping(denial(rcode, 300, 5), policy), true, 5s);
    }
    assert_kept(keeping(denial(3, 300, 300), policy), true, 90s);
    assert_not_kept(keeping(with_address(0), policy));
}

void test_keeping_when_bounds_contradict_then_the_maximum_counts(void** /*state*/) {
    const TtlPolicy policy{.min_ttl = 100s, .max_ttl = 10s, .max_negative_ttl = 0s};
    assert_kept(keeping(with_address(50), policy), false, 10s);
    assert_not_kept(keeping(denial(3, 300, 300), policy));
    const TtlPolicy absurd{.min_ttl = -5s,
                           .max_ttl = std::chrono::seconds::max(),
                           .max_negative_ttl = std::chrono::seconds::min()};
    assert_kept(keeping(with_address(0x7fffffff), absurd), false, max_kept_ttl);
    assert_not_kept(keeping(denial(3, 300, 300), absurd));
}

void test_keeping_when_negative_then_ttl_is_the_least_of_soa_and_minimum(void** /*state*/) {
    for (const unsigned rcode : {0U, 3U}) { // C83: NODATA and NXDOMAIN alike
        assert_kept(keeping(denial(rcode, 300, 900)), true, 300s);
        assert_kept(keeping(denial(rcode, 900, 300)), true, 300s);
        assert_not_kept(keeping(denial(rcode, 0, 300)));
        assert_not_kept(keeping(denial(rcode, 300, 0)));
        assert_not_kept(keeping(denial(rcode, 300, 0x80000000)));
        assert_not_kept(keeping(denial(rcode, 0xffffffff, 300)));
        Message proven = denial(rcode, 300, 200);
        add(proven, Section::authority, 47, rdata_of(47).octets(), 100); // NSEC
        assert_kept(keeping(proven), true, 100s);
    }
}

void test_keeping_when_nothing_says_for_how_long_then_no(void** /*state*/) {
    for (const unsigned rcode : {0U, 3U}) { // C84
        Message from{7, response_flags | rcode};
        from.question("www.example.com", type::a);
        assert_not_kept(keeping(from));
        add(from, Section::authority, type::ns, wire_name("ns.example").octets(), 300, 16);
        assert_not_kept(keeping(from)); // a referral
        add(from, Section::additional, type::soa, soa_rdata(300).octets(), 300, 16);
        assert_not_kept(keeping(from)); // not where an SOA says something
    }
}

void test_keeping_when_aliases_lead_nowhere_then_is_negative(void** /*state*/) {
    for (const unsigned rcode : {0U, 3U}) {
        Message from{7, response_flags | rcode};
        from.question("www.example.com", type::a);
        add(from, Section::answer, type::cname, wire_name("cdn.example").octets(), 40);
        assert_not_kept(keeping(from));
        add(from, Section::authority, type::soa, soa_rdata(50).octets(), 60, 16);
        assert_kept(keeping(from), true, 40s);
    }
    Message whole = response("www.example.com");
    add(whole, Section::answer, type::cname, wire_name("cdn.example").octets(), 40);
    add(whole, Section::answer, type::a, address, 30, 45);
    assert_kept(keeping(whole), false, 30s);
}

void test_keeping_when_an_alias_was_asked_for_then_is_positive(void** /*state*/) {
    Message from = response("www.example.com", type::cname);
    add(from, Section::answer, type::cname, wire_name("cdn.example").octets(), 40);
    assert_kept(keeping(from, wide, question("www.example.com", type::cname)), false, 40s);
}

void test_keeping_when_a_dname_was_asked_for_then_must_be_of_that_name(void** /*state*/) {
    const Question asked = question("www.example.com", type::dname);
    Message pointed = response("www.example.com", type::dname);
    add(pointed, Section::answer, type::dname, wire_name("a.example").octets(), 40);
    assert_kept(keeping(pointed, wide, asked), false, 40s);
    Message spelled = response("www.example.com", type::dname);
    spelled.record(Section::answer, "WWW.example.com", type::dname,
                   wire_name("a.example").octets());
    assert_kept(keeping(spelled, wide, asked), false, 300s);
    Message above = response("www.example.com", type::dname);
    add(above, Section::answer, type::dname, wire_name("example.net").octets(), 40, 16);
    add(above, Section::answer, type::cname, wire_name("www.example.net").octets(), 40);
    assert_not_kept(keeping(above, wide, asked));
}

void test_keeping_when_the_type_is_no_data_then_no(void** /*state*/) {
    for (unsigned qtype = 0; qtype < 400; ++qtype) { // C86, C87
        Message from = response("www.example.com", qtype);
        add(from, Section::answer, qtype, address);
        Question asked = question();
        asked.type = static_cast<std::uint16_t>(qtype);
        Answer answer;
        answer.answers = 1;
        answer.records = from.octets().subspan(33);
        const bool meta = qtype == type::opt || (qtype >= 128 && qtype <= 255);
        const Keeping found = keeping_of(answer, asked, wide);
        if (qtype != type::dname) {
            assert_true(found.keep == (meta ? Keep::no : Keep::answer));
        }
        answer.rcode = 2;
        assert_true(keeping_of(answer, asked, wide).keep == (meta ? Keep::no : Keep::failure));
    }
}

void test_keeping_when_the_class_is_another_then_no(void** /*state*/) {
    for (const unsigned qclass : {0U, 2U, 3U, 4U, 254U, 255U}) { // C86
        Message asking{1, query_flags};
        asking.question("www.example.com", type::a, qclass);
        Message from{7, response_flags};
        from.question("www.example.com", type::a, qclass);
        from.record(Section::answer, "www.example.com", type::a, address, qclass);
        assert_not_kept(keeping(from, wide, parsed(asking).question));
    }
}

void test_keeping_when_rcode_is_another_then_is_a_failure(void** /*state*/) {
    const Message soa = denial(0, 300, 300);
    Answer answer = accepted(soa, question());
    for (unsigned rcode = 0; rcode < 4096; ++rcode) { // C85
        answer.rcode = static_cast<std::uint16_t>(rcode);
        const Keeping found = keeping_of(answer, question(), wide);
        assert_true(found.keep == (rcode == 0 || rcode == 3 ? Keep::answer : Keep::failure));
        assert_int_equal(found.ttl.count(), rcode == 0 || rcode == 3 ? 300 : 0);
    }
    Message zero = with_address(0);
    set_flags(zero.mutable_octets(), response_flags | 2);
    assert_true(keeping(zero).keep == Keep::failure);
    Message upper = with_address(300);
    upper.opt({}, 1232, 0x01000000); // BADVERS, whose lower bits look like NOERROR
    assert_true(keeping(upper).keep == Keep::failure);
}

void test_keeping_when_truncated_then_was_not_accepted(void** /*state*/) {
    Message from = with_address(300);
    set_flags(from.mutable_octets(), response_flags | flag::truncated);
    Response response;
    assert_true(parse_response(from.octets(), question(), response) ==
                ResponseVerdict::truncated); // C86
}

void test_keeping_when_signed_then_no(void** /*state*/) {
    Message from = with_address(300);
    from.name("key");
    from.rest(Section::additional, type::tsig, address, klass::any, 0);
    assert_not_kept(keeping(from)); // C86: its TTL is 0 (RFC 8945, section 4.2)
}

void test_keeping_when_records_do_not_add_up_then_no(void** /*state*/) {
    const Message from = with_address(300);
    Answer answer = accepted(from, question());
    const Octets records = answer.records;
    for (std::size_t size = 0; size < records.size(); ++size) {
        answer.records = records.first(size);
        assert_not_kept(keeping_of(answer, question(), wide));
        Room room;
        const Keeping forced{.keep = Keep::answer, .negative = false, .ttl = 300s};
        assert_int_equal(write_kept(answer, forced, wide, room.room(200)), 0);
        assert_true(room.untouched_outside(200));
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_keeping_when_positive_then_ttl_is_the_least_of_all),
        cmocka_unit_test(test_keeping_when_ttl_is_at_an_edge_then_is_0_or_capped),
        cmocka_unit_test(test_keeping_when_policy_has_bounds_then_keeps_to_them),
        cmocka_unit_test(test_keeping_when_bounds_contradict_then_the_maximum_counts),
        cmocka_unit_test(test_keeping_when_negative_then_ttl_is_the_least_of_soa_and_minimum),
        cmocka_unit_test(test_keeping_when_nothing_says_for_how_long_then_no),
        cmocka_unit_test(test_keeping_when_aliases_lead_nowhere_then_is_negative),
        cmocka_unit_test(test_keeping_when_an_alias_was_asked_for_then_is_positive),
        cmocka_unit_test(test_keeping_when_a_dname_was_asked_for_then_must_be_of_that_name),
        cmocka_unit_test(test_keeping_when_the_type_is_no_data_then_no),
        cmocka_unit_test(test_keeping_when_the_class_is_another_then_no),
        cmocka_unit_test(test_keeping_when_rcode_is_another_then_is_a_failure),
        cmocka_unit_test(test_keeping_when_truncated_then_was_not_accepted),
        cmocka_unit_test(test_keeping_when_signed_then_no),
        cmocka_unit_test(test_keeping_when_records_do_not_add_up_then_no),
    };
    return cmocka_run_group_tests_name("dns/keeping", tests, nullptr, nullptr);
}
