// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The cookie in answers.

#include "dns/answer.hh"

#include "dns/answers.hh"

#include <numeric>

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

Cookie some_cookie() {
    Cookie cookie{};
    std::iota(cookie.begin(), cookie.end(), std::uint8_t{1});
    return cookie;
}

// limits 44: whatever is answered.
void test_answer_when_asker_gets_a_cookie_then_every_kind_carries_it(void** /*state*/) {
    ParsedQuery asked = parsed(edns_query());
    asked.asker.cookie = some_cookie();
    const auto carries = [&](const Written& written) {
        const FoundOption found = find_option(written.octets(), 10);
        return found.count == 1 && same(found.data, *asked.asker.cookie);
    };
    Written whole;
    answer(upstream(), asked, {}, whole);
    assert_true(carries(whole));
    Written cut;
    answer(upstream(), asked, {.limit = whole.octets().size() - 1, .keepalive = {}}, cut);
    assert_true(carries(cut));
    assert_true((flags(cut.octets()) & flag::truncated) != 0);
    Written failure;
    refuse(Rcode::servfail, std::nullopt, asked, {}, failure);
    assert_true(carries(failure));
    Written truncated;
    truncated.close(write_truncated(asked.question, asked.asker, {}, truncated.room(512)));
    assert_true(carries(truncated));
    Written sealed;
    const Message from = upstream();
    sealed.close(write_sealed(from.octets(), asked.question, asked.asker,
                              {.limit = from.size() - 1, .keepalive = {}}, sealed.room(512)));
    assert_int_equal(sealed.octets().size(), header_size); // no room for it, so there is no OPT
    Written least;
    refuse(Rcode::servfail, std::nullopt, asked, {.limit = 12 + 21 + 11 + 28, .keepalive = {}},
           least);
    assert_true(carries(least));
}

// RFC 7873, section 5.4; and 23 takes the upper bits of the RCODE.
void test_failure_when_a_cookie_has_no_question_then_has_none(void** /*state*/) {
    ParsedQuery asked = parsed(edns_query());
    asked.asker.cookie = some_cookie();
    Written written;
    written.close(
        write_failure(Rcode::badcookie, std::nullopt, nullptr, asked.asker, {}, written.room(512)));
    const Octets out = written.octets();
    assert_int_equal(out.size(), 12 + 11 + 28);
    assert_int_equal(qdcount(out), 0);
    assert_int_equal(flags(out) & 0xf, 7);
    assert_int_equal(load32(out, layout(out).opt + 5), 0x01000000);
    assert_true(same(find_option(out, 10).data, *asked.asker.cookie));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_when_asker_gets_a_cookie_then_every_kind_carries_it),
        cmocka_unit_test(test_failure_when_a_cookie_has_no_question_then_has_none),
    };
    return cmocka_run_group_tests_name("dns/answer_cookie", tests, nullptr, nullptr);
}
