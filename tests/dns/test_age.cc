// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What a cache that knows no DNS has taken from the life of an answer (E87).

#include "dns/age.hh"

#include "dns/lifetime.hh"
#include "dns/messages.hh"
#include "unit.hh"

#include <array>
#include <cstdint>

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;
using std::chrono::seconds;

namespace {

void add(Message& message, Section section, unsigned rtype, std::uint32_t ttl,
         Octets rdata = address) {
    message.name("www.example");
    message.rest(section, rtype, rdata, klass::in, ttl);
}

/// The TTL of the only record, `ttl`, after `age`.
std::uint32_t lowered(std::uint32_t ttl, seconds age) {
    Message message{0, response_flags};
    message.question("www.example", type::a);
    const std::size_t before = message.size();
    add(message, Section::answer, type::a, ttl);
    lower_ttls(message.mutable_octets(), age);
    return load32(message.octets(), before + wire_name("www.example").size() + 4);
}

void test_age_is_taken_off_down_to_0(void** /*state*/) {
    assert_int_equal(lowered(300, seconds{1}), 299);
    assert_int_equal(lowered(300, seconds{299}), 1);
    assert_int_equal(lowered(300, seconds{300}), 0);
    assert_int_equal(lowered(300, seconds{301}), 0);
    assert_int_equal(lowered(0, seconds{1}), 0);
    assert_int_equal(lowered(0x7fffffff, seconds{0x7ffffffe}), 1);
    assert_int_equal(lowered(0x7fffffff, seconds{0x80000000}), 0);
    assert_int_equal(lowered(300, seconds::max()), 0);
}

void test_no_age_changes_nothing(void** /*state*/) {
    for (const std::uint32_t ttl : {0U, 300U, 0x80000001U}) {
        assert_int_equal(lowered(ttl, seconds{0}), ttl);
        assert_int_equal(lowered(ttl, seconds{-5}), ttl);
    }
}

// RFC 2181, section 8: such a TTL is 0, and 0 is what is left of it.
void test_ttl_with_its_highest_bit_set_becomes_0(void** /*state*/) {
    assert_int_equal(lowered(0x80000001, seconds{1}), 0);
    assert_int_equal(lowered(0xffffffff, seconds{1}), 0);
}

void test_records_of_all_sections_are_lowered_and_the_opt_is_not(void** /*state*/) {
    const auto build = [](std::uint32_t answer, std::uint32_t authority, std::uint32_t additional) {
        Message message{0, response_flags};
        message.question("www.example", type::a).question("other.example", type::aaaa);
        add(message, Section::answer, type::cname, answer, rdata_of(type::cname).octets());
        message.pointer(header_size);
        message.rest(Section::answer, type::a, address, klass::in, answer);
        add(message, Section::authority, type::ns, authority, rdata_of(type::ns).octets());
        add(message, Section::additional, type::a, additional);
        message.opt({}, 1232, dnssec_ok);
        add(message, Section::additional, type::txt, additional, rdata_of(type::txt).octets());
        return message;
    };
    Message message = build(300, 40, 100);
    const Message expected = build(250, 0, 50);
    lower_ttls(message.mutable_octets(), seconds{50});
    assert_true(same(message.octets(), expected.octets()));
}

// What a denial says of itself ends by the TTL of its SOA (RFC 2308, section 5).
void test_denial_stands_for_less(void** /*state*/) {
    const Bytes soa =
        Bytes{}.name("ns.example").name("root.example").u32(1).u32(2).u32(3).u32(4).u32(300);
    Message message{0, response_flags | 3U};
    message.question("www.example", type::a);
    add(message, Section::authority, type::soa, 300, soa.octets());
    lower_ttls(message.mutable_octets(), seconds{100});
    assert_int_equal(lifetime_of(message.octets()).count(), 200);
}

// Whatever is cut off: what can be read is lowered, nothing else is touched.
void test_message_that_is_not_whole_is_lowered_as_far_as_it_goes(void** /*state*/) {
    Message whole{0, response_flags};
    whole.question("www.example", type::a);
    add(whole, Section::answer, type::a, 300);
    const std::size_t first_end = whole.size();
    add(whole, Section::answer, type::a, 300);
    Message lowered_first = whole;
    lower_ttls(lowered_first.mutable_octets().first(first_end), seconds{100});
    for (std::size_t size = 0; size < whole.size(); ++size) {
        Message cut = whole;
        lower_ttls(cut.mutable_octets().first(size), seconds{100});
        assert_true(same(cut.octets(), size < first_end ? whole.octets() : lowered_first.octets()));
    }
    assert_false(same(whole.octets(), lowered_first.octets()));
}

// Counts, names and lengths that lead nowhere.
void test_message_that_makes_no_sense_is_left_alone(void** /*state*/) {
    Message many{0, response_flags};
    many.count(Section::question, 65535).count(Section::answer, 65535);
    const Message before = many;
    lower_ttls(many.mutable_octets(), seconds{1});
    assert_true(same(many.octets(), before.octets()));

    Message loop{0, response_flags};
    loop.question("www.example", type::a);
    loop.pointer(loop.size());
    loop.rest(Section::answer, type::a, address);
    const Message loop_before = loop;
    lower_ttls(loop.mutable_octets(), seconds{1});
    assert_true(same(loop.octets(), loop_before.octets()));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_age_is_taken_off_down_to_0),
        cmocka_unit_test(test_no_age_changes_nothing),
        cmocka_unit_test(test_ttl_with_its_highest_bit_set_becomes_0),
        cmocka_unit_test(test_records_of_all_sections_are_lowered_and_the_opt_is_not),
        cmocka_unit_test(test_denial_stands_for_less),
        cmocka_unit_test(test_message_that_is_not_whole_is_lowered_as_far_as_it_goes),
        cmocka_unit_test(test_message_that_makes_no_sense_is_left_alone),
    };
    return cmocka_run_group_tests_name("dns/age", tests, nullptr, nullptr);
}
