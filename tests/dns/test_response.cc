// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/response.hh"

#include "dns/messages.hh"

#include <string_view>
#include <vector>

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

Question asked(unsigned qtype = type::a) {
    return parsed(query("www.example.com", qtype)).question;
}

void assert_verdict(const Bytes& message, ResponseVerdict expected) {
    Response response;
    const ResponseVerdict verdict = parse_response(message.octets(), asked(), response);
    assert_int_equal(static_cast<int>(verdict), static_cast<int>(expected));
}

Bytes soa(std::size_t numbers = 20) {
    Bytes rdata;
    return rdata.pointer(header_size).name("admin.example").fill(numbers, 0);
}

void test_parse_when_typical_then_gives_its_layout(void** /*state*/) {
    Message message{7, response_flags | 0x0020};
    message.question("wWw.Example.com", type::a);
    const std::size_t question_end = message.size();
    message.at(12, Section::answer, type::a, address).at(12, Section::answer, type::a, address);
    message.at(16, Section::authority, type::ns, wire_name("ns.example").octets());
    message.at(16, Section::additional, type::a, address);
    const std::size_t body_end = message.size();
    message.opt({}, 1232, 0);
    Response response;
    assert_true(parse_response(message.octets(), asked(), response) == ResponseVerdict::accepted);
    assert_int_equal(response.flags, response_flags | 0x0020);
    assert_int_equal(response.rcode, 0);
    assert_int_equal(response.question_end, question_end);
    assert_int_equal(response.body_end, body_end);
    assert_int_equal(response.answers, 2);
    assert_int_equal(response.authorities, 1);
    assert_int_equal(response.additionals, 1);
    assert_true(response.edns);
    assert_false(response.keepalive.has_value());
    assert_int_equal(response.error_count, 0);
}

void test_parse_when_no_opt_then_body_ends_with_the_message(void** /*state*/) {
    Message message = response("www.example.com");
    message.at(12, Section::answer, type::a, address);
    Response found;
    assert_true(parse_response(message.octets(), asked(), found) == ResponseVerdict::accepted);
    assert_false(found.edns);
    assert_int_equal(found.body_end, message.size());
}

void test_parse_when_records_follow_the_opt_then_cuts_them_off(void** /*state*/) {
    Message message = response("www.example.com");
    message.at(12, Section::answer, type::a, address);
    message.record(Section::additional, "a.example", type::a, address);
    const std::size_t body_end = message.size();
    message.opt().record(Section::additional, "b.example", type::a, address);
    Response found;
    assert_true(parse_response(message.octets(), asked(), found) == ResponseVerdict::accepted);
    assert_int_equal(found.body_end, body_end);
    assert_int_equal(found.additionals, 1);
}

void test_parse_when_not_a_response_to_a_query_then_ignores(void** /*state*/) {
    assert_verdict(query("www.example.com"), ResponseVerdict::ignored);
    Message notify{7, response_flags | 4U << 11U};
    notify.question("www.example.com", type::a);
    assert_verdict(notify, ResponseVerdict::ignored);
}

void test_parse_when_question_differs_then_is_foreign(void** /*state*/) {
    assert_verdict(response("www.example.org"), ResponseVerdict::foreign); // C8
    assert_verdict(response("www.example.com", type::aaaa), ResponseVerdict::foreign);
    Message chaos{7, response_flags};
    chaos.question("www.example.com", type::a, klass::ch);
    assert_verdict(chaos, ResponseVerdict::foreign);
    Message two = response("www.example.com");
    two.question("www.example.com", type::a);
    assert_verdict(two, ResponseVerdict::foreign);
    Message cut = response("www.example.com");
    cut.truncate(cut.size() - 1);
    assert_verdict(cut, ResponseVerdict::foreign);
    Bytes stump;
    stump.fill(header_size - 1, 0x80);
    assert_verdict(stump, ResponseVerdict::foreign);
}

void test_parse_when_question_is_missing_then_accepts_errors_only(void** /*state*/) {
    for (unsigned rcode = 0; rcode < 16; ++rcode) {
        const bool fine = rcode != 0 && rcode != 3;
        assert_verdict(Message{7, response_flags | rcode},
                       fine ? ResponseVerdict::accepted : ResponseVerdict::foreign);
    }
    Message bad_version{7, response_flags};
    bad_version.opt({}, 1232, 0x01000000); // RCODE 16: the header says 0
    assert_verdict(bad_version, ResponseVerdict::accepted);
}

void test_parse_when_question_is_missing_then_takes_no_records(void** /*state*/) {
    Message message{7, response_flags | 2};
    message.record(Section::answer, "evil.example", type::a, address);
    message.record(Section::additional, "evil.example", type::a, address).opt();
    Response found;
    assert_true(parse_response(message.octets(), asked(), found) == ResponseVerdict::accepted);
    assert_int_equal(found.question_end, header_size);
    assert_int_equal(found.body_end, header_size);
    assert_int_equal(found.answers + found.authorities + found.additionals, 0);
}

void test_parse_when_truncated_then_says_so(void** /*state*/) {
    Message message{7, response_flags | 0x0200};
    message.question("www.example.com", type::a).count(Section::answer); // cut in a record
    assert_verdict(message, ResponseVerdict::truncated);                 // C39
}

void test_parse_when_cut_anywhere_then_is_malformed(void** /*state*/) {
    Message message = response("www.example.com");
    message.at(12, Section::answer, type::a, address);
    message.record(Section::additional, "ns.example", type::a, address).opt(address);
    message.truncate(message.size() - 4); // the option's length now passes the end
    for (std::size_t size = 33; size <= message.size(); ++size) {
        Response found;
        assert_true(parse_response(message.octets().first(size), asked(), found) ==
                    ResponseVerdict::malformed);
    }
}

void test_parse_when_octets_are_left_over_then_is_malformed(void** /*state*/) {
    Message message = response("www.example.com");
    message.at(12, Section::answer, type::a, address).u8(0);
    assert_verdict(message, ResponseVerdict::malformed);
}

void test_parse_when_opt_is_wrong_then_is_malformed(void** /*state*/) {
    Message second = response("www.example.com");
    second.opt().opt();
    assert_verdict(second, ResponseVerdict::malformed);
    Message owned = response("www.example.com");
    owned.at(12, Section::additional, type::opt, {});
    assert_verdict(owned, ResponseVerdict::malformed);
    Message misplaced = response("www.example.com");
    misplaced.record(Section::authority, "", type::opt, {});
    assert_verdict(misplaced, ResponseVerdict::malformed);
    Message options = response("www.example.com");
    options.opt(address); // a code and a length without data
    assert_verdict(options, ResponseVerdict::malformed);
}

void test_parse_when_owner_is_no_name_then_is_malformed(void** /*state*/) {
    Message loop = response("www.example.com");
    loop.pointer(loop.size());
    loop.rest(Section::answer, type::a, address);
    assert_verdict(loop, ResponseVerdict::malformed);
    Message label = response("www.example.com");
    label.u8(0x40).fill(64, 'a').u8(0).u16(1).u16(1).u32(1).u16(0);
    label.count(Section::authority);
    assert_verdict(label, ResponseVerdict::malformed);
}

// A pointer that is seen often is checked once; only what it was checked for counts.
void test_parse_when_owner_points_into_the_question_then_is_checked(void** /*state*/) {
    Message first{7, response_flags};
    first.question("www.\x3fxample.com", type::a); // from 17 on, a label of 63 octets
    Message asked_message{1, query_flags};
    asked_message.question("www.\x3fxample.com", type::a);
    const Question question = parsed(asked_message).question;
    for (std::size_t target = header_size; target < first.size(); ++target) {
        Message message = first;
        message.at(target, Section::authority, type::a, address);
        message.at(target, Section::authority, type::a, address);
        const bool sound = name_extent(message.octets(), target).has_value();
        Response found;
        assert_true(parse_response(message.octets(), question, found) ==
                    (sound ? ResponseVerdict::accepted : ResponseVerdict::malformed));
        assert_true(target != 17 || !sound);
    }
}

void test_parse_when_names_in_rdata_are_unsound_then_is_malformed(void** /*state*/) {
    for (const unsigned alias : {unsigned{type::cname}, unsigned{type::dname}}) {
        Message empty = response("www.example.com");
        empty.at(12, Section::answer, alias, {});
        assert_verdict(empty, ResponseVerdict::malformed);
        Bytes longer = wire_name("a.example");
        longer.u8(0);
        Message left_over = response("www.example.com");
        left_over.at(12, Section::answer, alias, longer.octets());
        assert_verdict(left_over, ResponseVerdict::malformed);
        const Bytes name = wire_name("a.example");
        Message shorter = response("www.example.com"); // the name goes on behind its RDATA
        shorter.at(12, Section::answer, alias, name.octets().first(name.size() - 1));
        shorter.record(Section::additional, "", type::a, address);
        assert_verdict(shorter, ResponseVerdict::malformed);
    }
}

void test_parse_when_soa_has_another_size_then_is_malformed(void** /*state*/) {
    for (const std::size_t numbers : {19U, 20U, 21U}) {
        Message message{7, response_flags | 3};
        message.question("www.example.com", type::a);
        message.at(16, Section::authority, type::soa, soa(numbers).octets());
        assert_verdict(message,
                       numbers == 20 ? ResponseVerdict::accepted : ResponseVerdict::malformed);
    }
}

void test_parse_when_rdata_is_not_its_types_then_is_malformed(void** /*state*/) {
    for (const Section section : {Section::answer, Section::authority, Section::additional}) {
        Message message = response("www.example.com");
        message.at(12, Section::answer, type::a, address);
        Message broken = message;
        broken.at(12, section, type::a, Octets{address}.first(3));
        assert_verdict(broken, ResponseVerdict::malformed);
        message.at(12, section, type::a, address);
        assert_verdict(message, ResponseVerdict::accepted);
    }
}

void test_parse_when_type_is_unknown_then_leaves_rdata_alone(void** /*state*/) {
    for (const unsigned rtype : {10U, 55U, 110U, 258U, 65280U, 65534U}) { // C21
        Bytes rdata;
        rdata.fill(7, 0xc0); // L6: pointers to nowhere, if one looked
        Message message{7, response_flags};
        message.question("www.example.com", rtype);
        message.at(12, Section::answer, rtype, rdata.octets());
        Response found;
        assert_true(parse_response(message.octets(), asked(rtype), found) ==
                    ResponseVerdict::accepted);
        assert_int_equal(found.body_end, message.size());
    }
}

void test_parse_when_opt_has_upper_rcode_then_adds_it(void** /*state*/) {
    Message message{7, response_flags | 0x000b};
    message.question("www.example.com", type::a);
    message.opt({}, 1232, 0x12000000);
    Response found;
    assert_true(parse_response(message.octets(), asked(), found) == ResponseVerdict::accepted);
    assert_int_equal(found.rcode, 0x12b);
}

void test_parse_when_keepalive_came_then_takes_it(void** /*state*/) {
    Bytes options;
    const std::array<std::uint8_t, 2> value{1, 0x2c};
    options.option(11).option(11, value);
    Message message = response("www.example.com");
    message.opt(options.octets());
    Response found;
    assert_true(parse_response(message.octets(), asked(), found) == ResponseVerdict::accepted);
    assert_true(found.keepalive == 300); // the empty one says nothing
}

void test_parse_when_errors_came_then_takes_the_first_four(void** /*state*/) {
    Bytes options;
    for (unsigned code = 20; code < 26; ++code) {
        Bytes data;
        data.u16(code).text("why");
        options.option(15, data.octets());
    }
    options.option(15, address).u16(15).u16(1).u8(0); // one octet is no error code
    Message message = response("www.example.com");
    message.opt(options.octets());
    Response found;
    assert_true(parse_response(message.octets(), asked(), found) == ResponseVerdict::accepted);
    assert_int_equal(found.error_count, 4);
    assert_int_equal(found.errors[0].code, 20);
    assert_int_equal(found.errors[3].code, 23);
    assert_int_equal(found.errors[3].text.size(), 3);
}

void test_parse_when_error_text_is_unclean_then_drops_the_text(void** /*state*/) {
    using namespace std::string_view_literals;

    struct {
        std::string_view text;
        bool clean;
    } const cases[] = {
        {"", true},
        {"expired", true},
        {"\xc3\xa9t\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", true},
        {"line\nbreak", false}, // L11
        {"nul\0"sv, false},
        {"\x1b[2J", false},
        {"\x7f", false},
        {"\xc2\x9b", false}, // a control character of two octets
        {"\xff", false},
        {"\xc3", false}, // cut
        {"\xc3(", false},
        {"\xc0\xaf", false}, // longer than it need be
        {"\xe0\x80\xaf", false},
        {"\xed\xa0\x80", false},     // a surrogate
        {"\xf4\x90\x80\x80", false}, // above the last code point
    };

    for (const auto& [text, clean] : cases) {
        Bytes data;
        data.u16(6).text(text);
        Bytes options;
        options.option(15, data.octets());
        Message message = response("www.example.com");
        message.opt(options.octets());
        Response found;
        assert_true(parse_response(message.octets(), asked(), found) == ResponseVerdict::accepted);
        assert_int_equal(found.error_count, 1);
        assert_int_equal(found.errors[0].code, 6);
        assert_int_equal(found.errors[0].text.size(), clean ? text.size() : 0);
    }
}

void test_parse_when_error_text_is_long_then_drops_the_text(void** /*state*/) {
    for (const std::size_t size : {256U, 257U, 60000U}) { // L4
        Bytes data;
        data.u16(6).fill(size, 'x');
        Bytes options;
        options.option(15, data.octets());
        Message message = response("www.example.com");
        message.opt(options.octets());
        Response found;
        assert_true(parse_response(message.octets(), asked(), found) == ResponseVerdict::accepted);
        assert_int_equal(found.errors[0].text.size(), size == 256 ? 256 : 0);
    }
}

Failure failure(unsigned rcode, const std::vector<unsigned>& codes = {}) {
    Bytes options;
    for (const unsigned code : codes) {
        options.u16(15).u16(2).u16(code);
    }
    Message message = response("www.example.com");
    set_flags(message.mutable_octets(), static_cast<std::uint16_t>(response_flags | rcode));
    message.opt(options.octets());
    Response found;
    assert_true(parse_response(message.octets(), asked(), found) == ResponseVerdict::accepted);
    return failure_of(found);
}

void test_failure_when_the_rcode_is_about_the_name_then_none(void** /*state*/) {
    for (unsigned rcode = 0; rcode < 16; ++rcode) {
        const bool fails = rcode == 1 || rcode == 2 || rcode == 4 || rcode == 5;
        assert_int_equal(failure(rcode) == Failure::none, !fails);
        assert_int_equal(failure(rcode, {6}) == Failure::none, !fails);
    }
    Response badvers;
    badvers.rcode = 16;
    assert_true(failure_of(badvers) == Failure::none);
}

void test_failure_when_bogus_or_filtered_then_meant(void** /*state*/) {
    for (unsigned code = 0; code < 64; ++code) {
        const bool meant =
            (code >= 6 && code <= 12) || (code >= 15 && code <= 17) || code == 25 || code == 27;
        for (const unsigned rcode : {1U, 2U, 4U, 5U}) {
            assert_int_equal(failure(rcode, {code}) == Failure::meant, meant);
            assert_int_equal(failure(rcode, {23, code}) == Failure::meant, meant);
        }
    }
}

void test_failure_when_servfail_gives_no_reason_then_unexplained(void** /*state*/) {
    assert_true(failure(2) == Failure::unexplained);
    for (const unsigned code : {0U, 1U, 2U, 5U, 13U}) {
        assert_true(failure(2, {code}) == Failure::unexplained);
    }
    assert_true(failure(2, {13, 0}) == Failure::unexplained);
    assert_true(failure(2, {13, 22}) == Failure::other);
    assert_true(failure(2, {14}) == Failure::other);
    for (const unsigned rcode : {1U, 4U, 5U}) {
        assert_true(failure(rcode) == Failure::other);
    }
}

void test_say_when_there_are_too_many_then_the_last_one_goes(void** /*state*/) {
    Response response;
    for (std::uint16_t code = 0; code <= max_errors; ++code) {
        response.say({.code = code, .text = {}});
    }
    assert_int_equal(response.said().size(), max_errors);
    assert_int_equal(response.said()[0].code, 0);
    assert_int_equal(response.said()[max_errors - 1].code, max_errors);
}

void test_sealed_when_records_add_up_then_accepts_them_unseen(void** /*state*/) {
    Message message = response("www.example.com");
    message.record(Section::answer, "other.example", type::a, address);
    message.opt().opt(); // a signature covers them: they are not ours to judge
    message.record(Section::additional, "key", type::tsig, address, klass::any);
    assert_true(parse_sealed_response(message.octets(), asked()) == ResponseVerdict::accepted);
    message.u8(0);
    assert_true(parse_sealed_response(message.octets(), asked()) == ResponseVerdict::malformed);
    message.truncate(message.size() - 2);
    assert_true(parse_sealed_response(message.octets(), asked()) == ResponseVerdict::malformed);
}

void test_sealed_when_question_differs_then_is_foreign(void** /*state*/) {
    assert_true(parse_sealed_response(response("www.example.org").octets(), asked()) ==
                ResponseVerdict::foreign);
    assert_true(parse_sealed_response(query("www.example.com").octets(), asked()) ==
                ResponseVerdict::ignored);
    const Message none{7, response_flags};
    assert_true(parse_sealed_response(none.octets(), asked()) == ResponseVerdict::foreign);
    const Message refused{7, response_flags | 5};
    assert_true(parse_sealed_response(refused.octets(), asked()) == ResponseVerdict::accepted);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_when_typical_then_gives_its_layout),
        cmocka_unit_test(test_parse_when_no_opt_then_body_ends_with_the_message),
        cmocka_unit_test(test_parse_when_records_follow_the_opt_then_cuts_them_off),
        cmocka_unit_test(test_parse_when_not_a_response_to_a_query_then_ignores),
        cmocka_unit_test(test_parse_when_question_differs_then_is_foreign),
        cmocka_unit_test(test_parse_when_question_is_missing_then_accepts_errors_only),
        cmocka_unit_test(test_parse_when_question_is_missing_then_takes_no_records),
        cmocka_unit_test(test_parse_when_truncated_then_says_so),
        cmocka_unit_test(test_parse_when_cut_anywhere_then_is_malformed),
        cmocka_unit_test(test_parse_when_octets_are_left_over_then_is_malformed),
        cmocka_unit_test(test_parse_when_opt_is_wrong_then_is_malformed),
        cmocka_unit_test(test_parse_when_owner_is_no_name_then_is_malformed),
        cmocka_unit_test(test_parse_when_owner_points_into_the_question_then_is_checked),
        cmocka_unit_test(test_parse_when_names_in_rdata_are_unsound_then_is_malformed),
        cmocka_unit_test(test_parse_when_soa_has_another_size_then_is_malformed),
        cmocka_unit_test(test_parse_when_rdata_is_not_its_types_then_is_malformed),
        cmocka_unit_test(test_parse_when_type_is_unknown_then_leaves_rdata_alone),
        cmocka_unit_test(test_parse_when_opt_has_upper_rcode_then_adds_it),
        cmocka_unit_test(test_parse_when_keepalive_came_then_takes_it),
        cmocka_unit_test(test_parse_when_errors_came_then_takes_the_first_four),
        cmocka_unit_test(test_parse_when_error_text_is_unclean_then_drops_the_text),
        cmocka_unit_test(test_parse_when_error_text_is_long_then_drops_the_text),
        cmocka_unit_test(test_failure_when_the_rcode_is_about_the_name_then_none),
        cmocka_unit_test(test_failure_when_bogus_or_filtered_then_meant),
        cmocka_unit_test(test_failure_when_servfail_gives_no_reason_then_unexplained),
        cmocka_unit_test(test_say_when_there_are_too_many_then_the_last_one_goes),
        cmocka_unit_test(test_sealed_when_records_add_up_then_accepts_them_unseen),
        cmocka_unit_test(test_sealed_when_question_differs_then_is_foreign),
    };
    return cmocka_run_group_tests_name("dns/response", tests, nullptr, nullptr);
}
