// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/query.hh"

#include "dns/messages.hh"

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

QueryVerdict verdict(const Bytes& message) {
    ParsedQuery query;
    return parse_query(message.octets(), query);
}

void assert_verdict(const Bytes& message, QueryVerdict expected) {
    assert_int_equal(static_cast<int>(verdict(message)), static_cast<int>(expected));
}

void test_parse_when_plain_then_fills_in_question_and_asker(void** /*state*/) {
    Message message{0xbeef, 0x0110}; // RD, CD
    message.question("wWw.Example.com", type::aaaa);
    ParsedQuery query;
    assert_true(parse_query(message.octets(), query) == QueryVerdict::forward);
    assert_true(same(query.question.name.view(), wire_name("www.example.com").octets()));
    assert_int_equal(query.question.type, type::aaaa);
    assert_int_equal(query.question.klass, klass::in);
    assert_true(query.question.recursion_desired);
    assert_true(query.question.checking_disabled);
    assert_false(query.question.authentic_data);
    assert_false(query.question.dnssec_ok);
    assert_int_equal(query.asker.id, 0xbeef);
    assert_int_equal(query.asker.flags, 0x0110);
    assert_int_equal(query.asker.udp_payload_size, 512);
    assert_false(query.asker.edns);
    assert_int_equal(query.question_end, message.size());
}

void test_parse_when_edns_then_fills_in_what_it_says(void** /*state*/) {
    Bytes options;
    const std::array<std::uint8_t, 4> opt_out{0, 2, 0, 0};
    options.option(11).option(12, address).option(8, opt_out);
    Message message = query("example.com");
    message.opt(options.octets(), 4096, dnssec_ok);
    const ParsedQuery found = parsed(message);
    assert_verdict(message, QueryVerdict::forward);
    assert_true(found.asker.edns);
    assert_true(found.asker.dnssec_ok);
    assert_true(found.question.dnssec_ok);
    assert_int_equal(found.asker.udp_payload_size, 4096);
    assert_true(found.asker.keepalive);
    assert_true(found.asker.padding);
    assert_true(found.asker.subnet);
    assert_int_equal(found.asker.subnet_family, 2);
    assert_true(found.question.subnet_opt_out);
}

void test_parse_when_payload_size_is_small_then_takes_512(void** /*state*/) {
    for (const unsigned size : {0U, 1U, 511U}) {
        Message message = query("example.com");
        message.opt({}, size);
        assert_int_equal(parsed(message).asker.udp_payload_size, 512); // C34
    }
}

void test_parse_when_subnet_has_a_prefix_then_is_no_opt_out(void** /*state*/) {
    const std::array<std::uint8_t, 7> subnet{0, 1, 24, 0, 192, 0, 2};
    Bytes options;
    options.option(8, subnet);
    Message message = query("example.com");
    message.opt(options.octets());
    const ParsedQuery found = parsed(message);
    assert_verdict(message, QueryVerdict::forward);
    assert_false(found.asker.subnet);
    assert_false(found.question.subnet_opt_out);
}

// RFC 7828, section 3.3.1: over UDP the option must be ignored, and here nobody knows what it was.
void test_parse_when_keepalive_has_a_value_then_it_is_ignored(void** /*state*/) {
    const std::array<std::uint8_t, 2> value{0, 100};
    Bytes options;
    options.option(11, value);
    Message message = query("example.com");
    message.opt(options.octets());
    assert_verdict(message, QueryVerdict::forward);
    assert_false(parsed(message).asker.keepalive);
}

void test_parse_when_option_or_flag_is_unknown_then_forwards(void** /*state*/) {
    Bytes options;
    options.option(100, address).option(3, address).option(65001);
    Message message{1, query_flags | 0x0040}; // C20
    message.question("example.com", 1000);
    message.opt(options.octets(), 1232, 0x0040); // C45, C46
    assert_verdict(message, QueryVerdict::forward);
    assert_false(parsed(message).asker.dnssec_ok);
}

void test_parse_when_short_or_a_response_then_drops(void** /*state*/) {
    const Message message = query("example.com");
    for (std::size_t size = 0; size < header_size; ++size) {
        ParsedQuery query;
        assert_true(parse_query(message.octets().first(size), query) == QueryVerdict::drop); // C29
    }
    Message answer{1, response_flags};
    answer.question("example.com", type::a);
    assert_verdict(answer, QueryVerdict::drop); // C28
}

void test_parse_when_cut_anywhere_then_is_a_format_error(void** /*state*/) {
    Bytes options;
    options.option(10, address);
    Message message = query("example.com");
    message.opt(options.octets());
    for (std::size_t size = header_size; size < message.size(); ++size) {
        ParsedQuery query;
        assert_true(parse_query(message.octets().first(size), query) == QueryVerdict::format_error);
        assert_int_equal(query.asker.id, 0x1234);
        assert_int_equal(query.question_end, size >= 29 ? 29 : 0);
    }
}

void test_parse_when_opcode_is_not_query_then_is_not_implemented(void** /*state*/) {
    for (unsigned opcode = 1; opcode < 16; ++opcode) {
        Message message{9, opcode << 11U | query_flags};
        message.fill(3, 0xff); // whatever stands behind the header (C27)
        ParsedQuery query;
        assert_true(parse_query(message.octets(), query) == QueryVerdict::not_implemented);
        assert_int_equal(query.asker.flags >> 11U, opcode);
        assert_int_equal(query.question_end, 0);
    }
}

void test_parse_when_not_exactly_one_question_then_is_a_format_error(void** /*state*/) {
    assert_verdict(Message{1, query_flags}, QueryVerdict::format_error); // C26
    Message two = query("example.com");
    two.question("example.org", type::a);
    assert_verdict(two, QueryVerdict::format_error);
}

void test_parse_when_octets_are_left_over_then_is_a_format_error(void** /*state*/) {
    Message octet = query("example.com");
    octet.u8(0);
    assert_verdict(octet, QueryVerdict::format_error); // C30
    assert_int_equal(parsed(octet).question_end, octet.size() - 1);
    Message record = query("example.com"); // L1: an OPT that the header does not count
    record.opt();
    record.count(Section::additional, -1);
    assert_verdict(record, QueryVerdict::format_error);
    Message missing = query("example.com");
    missing.count(Section::additional);
    assert_verdict(missing, QueryVerdict::format_error);
}

void test_parse_when_opt_is_wrong_then_is_a_format_error(void** /*state*/) {
    Message second = query("example.com");
    second.opt().opt();
    assert_verdict(second, QueryVerdict::format_error); // C43
    Message owned = query("example.com");
    owned.record(Section::additional, "example.com", type::opt, {});
    assert_verdict(owned, QueryVerdict::format_error);
    Message pointed = query("example.com");
    pointed.at(header_size + 12, Section::additional, type::opt, {}); // the root, by a pointer
    assert_verdict(pointed, QueryVerdict::format_error);
    for (const Section section : {Section::answer, Section::authority}) {
        Message misplaced = query("example.com");
        misplaced.record(section, "", type::opt, {});
        assert_verdict(misplaced, QueryVerdict::format_error);
    }
}

void test_parse_when_option_passes_the_end_then_is_a_format_error(void** /*state*/) {
    Bytes options;
    options.option(10, address).u16(10).u16(1); // C47
    Message message = query("example.com");
    message.opt(options.octets());
    assert_verdict(message, QueryVerdict::format_error);
    Bytes stump;
    stump.option(10, address).u16(10).u8(0);
    Message other = query("example.com");
    other.opt(stump.octets());
    assert_verdict(other, QueryVerdict::format_error);
}

void test_parse_when_opt_is_not_last_then_is_found(void** /*state*/) {
    Message message = query("example.com");
    message.record(Section::additional, "a.example", type::a, address);
    message.opt({}, 1400);
    message.record(Section::additional, "b.example", type::a, address);
    assert_verdict(message, QueryVerdict::forward); // C44
    assert_int_equal(parsed(message).asker.udp_payload_size, 1400);
}

void test_parse_when_options_are_many_then_looks_at_the_first_64(void** /*state*/) {
    for (const unsigned in_front : {63U, 64U, 16000U}) { // L2
        Bytes options;
        for (unsigned i = 0; i < in_front; ++i) {
            options.option(13);
        }
        options.option(12);
        Message message = query("example.com");
        message.opt(options.octets());
        assert_verdict(message, QueryVerdict::forward);
        assert_int_equal(parsed(message).asker.padding, in_front < 64);
    }
}

// RFC 7873, section 5.2.2; limits 44 and 62: 8 octets, or 16 to 40.
void test_parse_when_cookie_has_a_size_then_only_some_are_right(void** /*state*/) {
    for (std::size_t size = 0; size <= 41; ++size) {
        Bytes data;
        data.fill(size, 0x5a);
        Bytes options;
        options.option(10, data.octets()).option(12);
        Message message = query("example.com");
        message.opt(options.octets());
        ParsedQuery found;
        const bool right = size == 8 || (size >= 16 && size <= 40);
        const QueryVerdict got = parse_query(message.octets(), found);
        assert_true(got == (right ? QueryVerdict::forward : QueryVerdict::format_error));
        assert_true(same(found.cookie, right ? data.octets() : Octets{}));
        assert_true(found.asker.edns && !found.asker.cookie);
        Message none{1, query_flags};
        none.opt(options.octets());
        assert_verdict(none, right ? QueryVerdict::cookie_only : QueryVerdict::format_error);
    }
}

// RFC 7873, section 5.2: "only the first is considered".
void test_parse_when_there_are_several_cookies_then_takes_the_first(void** /*state*/) {
    Bytes first;
    first.fill(8, 1);
    Bytes options;
    options.option(10, first.octets()).option(10, address).option(10);
    Message message = query("example.com");
    message.opt(options.octets());
    const ParsedQuery found = parsed(message);
    assert_verdict(message, QueryVerdict::forward);
    assert_true(same(found.cookie, first.octets()));
    assert_true(parsed(query("example.com")).cookie.empty());
}

// What an earlier message held is gone with it, also when there is nothing to answer.
void test_parse_when_message_is_dropped_then_no_cookie_is_left(void** /*state*/) {
    Bytes data;
    data.fill(8, 1);
    Bytes options;
    options.option(10, data.octets());
    Message message = query("example.com");
    message.opt(options.octets());
    Message response{7, response_flags};
    response.question("example.com", type::a);
    for (const Octets nothing : {Octets{}, message.octets().first(11), response.octets()}) {
        ParsedQuery found;
        assert_true(parse_query(message.octets(), found) == QueryVerdict::forward);
        assert_false(found.cookie.empty());
        assert_true(parse_query(nothing, found) == QueryVerdict::drop);
        assert_true(found.cookie.empty());
        assert_int_equal(found.question_end, 0);
    }
}

// RFC 7873, section 5.4; everything else about the message must be right.
void test_parse_when_a_cookie_has_no_question_then_it_is_a_query(void** /*state*/) {
    Bytes data;
    data.fill(8, 1);
    Bytes options;
    options.option(10, data.octets());
    Message message{7, query_flags};
    message.opt(options.octets(), 4096);
    const ParsedQuery found = parsed(message);
    assert_verdict(message, QueryVerdict::cookie_only);
    assert_int_equal(found.question_end, 0);
    assert_int_equal(found.asker.udp_payload_size, 4096);
    assert_true(same(found.cookie, data.octets()));
    Message bare{7, query_flags};
    bare.opt();
    assert_verdict(bare, QueryVerdict::format_error);
    Message more = message;
    more.u8(0);
    assert_verdict(more, QueryVerdict::format_error); // C30
    Message twice = message;
    twice.opt(options.octets());
    assert_verdict(twice, QueryVerdict::format_error); // C43
    Message sealed = message;
    sealed.record(Section::additional, "key", type::tsig, address, klass::any);
    assert_verdict(sealed, QueryVerdict::format_error);
    Message newer{7, query_flags};
    newer.opt(options.octets(), 1232, 0x00010000);
    assert_verdict(newer, QueryVerdict::format_error);
}

void test_parse_when_version_is_above_0_then_says_so(void** /*state*/) {
    Bytes foreign; // its options are the business of that version
    foreign.u8(0xff);
    Message message = query("example.com");
    message.opt(foreign.octets(), 1232, 0x00010000 | dnssec_ok);
    assert_verdict(message, QueryVerdict::bad_version); // C42
    assert_true(parsed(message).asker.edns);
    assert_true(parsed(message).question_end > 0);
    message.opt();
    assert_verdict(message, QueryVerdict::format_error); // a second one is that all the same
}

void test_parse_when_signed_then_is_sealed(void** /*state*/) {
    Message tsig = query("example.com");
    tsig.opt().record(Section::additional, "key", type::tsig, address, klass::any);
    assert_verdict(tsig, QueryVerdict::sealed); // C25
    assert_true(parsed(tsig).asker.edns);
    Bytes covers_none;
    covers_none.u16(0).fill(16, 1);
    Message sig0 = query("example.com");
    sig0.record(Section::additional, "", type::sig, covers_none.octets(), klass::any);
    assert_verdict(sig0, QueryVerdict::sealed);
    Bytes covers_a;
    covers_a.u16(1).fill(16, 1);
    Message sig = query("example.com");
    sig.record(Section::additional, "", type::sig, covers_a.octets());
    assert_verdict(sig, QueryVerdict::forward);
    assert_verdict(query("example.com", type::tkey), QueryVerdict::sealed);
}

void test_parse_when_tsig_is_not_last_then_is_a_format_error(void** /*state*/) {
    Message early = query("example.com");
    early.record(Section::additional, "key", type::tsig, address, klass::any).opt();
    assert_verdict(early, QueryVerdict::format_error);
    Message misplaced = query("example.com");
    misplaced.record(Section::answer, "key", type::tsig, address, klass::any);
    assert_verdict(misplaced, QueryVerdict::format_error);
}

void test_parse_when_question_name_is_compressed_then_is_a_format_error(void** /*state*/) {
    Message message{1, query_flags};
    message.pointer(header_size).u16(1).u16(1);
    message.count(Section::question);
    assert_verdict(message, QueryVerdict::format_error);
    assert_int_equal(parsed(message).question_end, 0);
}

void test_parse_when_counts_are_huge_then_ends_with_the_message(void** /*state*/) {
    Message message = query("example.com");
    message.count(Section::answer, -1).count(Section::authority, -1).count(Section::additional, -1);
    assert_verdict(message, QueryVerdict::format_error); // L7
}

void test_equality_when_one_part_differs_then_fails(void** /*state*/) {
    const Question base = parsed(query("example.com")).question;
    assert_true(base == parsed(query("EXAMPLE.com")).question);
    assert_false(base == parsed(query("example.con")).question);
    assert_false(base == parsed(query("xexample.com")).question);
    Question other = base;
    other.type = type::aaaa;
    assert_false(base == other);
    other = base;
    other.klass = klass::ch;
    assert_false(base == other);
    for (bool Question::*const part :
         {&Question::recursion_desired, &Question::checking_disabled, &Question::authentic_data,
          &Question::dnssec_ok, &Question::subnet_opt_out}) {
        other = base;
        other.*part = !(other.*part);
        assert_false(base == other); // C80
    }
}

using Query = std::array<std::uint8_t, max_query_size>;

void test_write_when_name_has_any_length_then_pads_to_a_block(void** /*state*/) {
    for (unsigned size = 1; size <= 63; ++size) {
        for (const bool keepalive : {false, true}) {
            Message message{1, query_flags};
            message.u8(size).fill(size, 'a').u8(0).u16(1).u16(1);
            message.count(Section::question);
            Question question = parsed(message).question;
            question.subnet_opt_out = size % 2 == 0;
            Query out;
            out.fill(0xa5); // L10
            const std::size_t written = write_query(question, 77, keepalive, out);
            const Octets query = Octets{out}.first(written);
            assert_int_equal(written % 128, 0); // C51
            assert_true(layout(query).sound);
            const FoundOption padding = find_option(query, 12);
            assert_true(padding.found && padding.count == 1);
            assert_true(std::ranges::all_of(padding.data, [](auto octet) { return octet == 0; }));
            assert_ptr_equal(padding.data.data() + padding.data.size(), out.data() + written);
            assert_int_equal(find_option(query, 11).found, keepalive);
            assert_int_equal(find_option(query, 8).found, question.subnet_opt_out);
        }
    }
}

void test_write_when_question_has_every_flag_then_sets_them(void** /*state*/) {
    Message message{1, 0x0130}; // RD, AD, CD
    message.question("example.com", type::aaaa, klass::ch);
    message.opt({}, 4096, dnssec_ok);
    Query out{};
    const std::size_t written = write_query(parsed(message).question, 0xabcd, false, out);
    const Octets query = Octets{out}.first(written);
    assert_int_equal(id(query), 0xabcd);
    assert_int_equal(flags(query), 0x0130);
    const Layout found = layout(query);
    assert_true(found.sound);
    assert_int_equal(found.opts, 1); // C48
    assert_int_equal(load16(query, found.opt + 3), 1232);
    assert_int_equal(load32(query, found.opt + 5), dnssec_ok);
    assert_true(same(query.subspan(4, 25), message.octets().subspan(4, 25)));
}

void test_write_when_question_has_no_flag_then_sets_none(void** /*state*/) {
    Message message{1, 0};
    message.question("EXAMPLE.com", type::a);
    Query out{};
    const std::size_t written = write_query(parsed(message).question, 1, false, out);
    const Octets query = Octets{out}.first(written);
    assert_int_equal(flags(query), 0);
    assert_int_equal(load32(query, layout(query).opt + 5), 0);
    assert_true(same(query.subspan(12, 13), wire_name("example.com").octets())); // folded
}

void test_write_plain_then_nothing_is_padded(void** /*state*/) {
    Message message{1, 0x0110}; // RD, CD
    message.question("example.com", type::aaaa);
    message.opt({}, 4096, dnssec_ok);
    const Question question = parsed(message).question;
    Query out{};
    std::size_t written = write_plain_query(question, 0xabcd, true, out);
    Octets query = Octets{out}.first(written);
    assert_int_equal(written, 12 + 13 + 4 + 11);
    assert_true(id(query) == 0xabcd && flags(query) == 0x0110);
    assert_int_equal(load16(query, layout(query).opt + 3), 1232);
    assert_int_equal(load32(query, layout(query).opt + 5), dnssec_ok);
    written = write_plain_query(question, 1, false, out); // whom an OPT would disturb
    query = Octets{out}.first(written);
    assert_int_equal(written, 12 + 13 + 4);
    assert_true(layout(query).sound && layout(query).opts == 0);
}

void test_write_when_subnet_opt_out_then_sends_an_empty_one(void** /*state*/) {
    Question question = parsed(query("example.com")).question;
    question.subnet_opt_out = true;
    Query out{};
    const std::size_t written = write_query(question, 1, true, out);
    const FoundOption subnet = find_option(Octets{out}.first(written), 8);
    const std::array<std::uint8_t, 4> expected{0, 1, 0, 0};
    assert_true(subnet.count == 1 && same(subnet.data, expected));
    const FoundOption keepalive = find_option(Octets{out}.first(written), 11);
    assert_true(keepalive.count == 1 && keepalive.data.empty());
}

void test_write_when_name_is_longest_then_fits_and_reads_back(void** /*state*/) {
    Message message{1, query_flags};
    message.u8(63).fill(63, 'a').u8(63).fill(63, 'a').u8(63).fill(63, 'a').u8(61).fill(61, 'a').u8(
        0);
    message.u16(1).u16(1);
    message.count(Section::question);
    Question question = parsed(message).question;
    question.subnet_opt_out = true;
    Query out{};
    const std::size_t written = write_query(question, 1, true, out);
    assert_int_equal(written, 384);
    ParsedQuery again;
    assert_true(parse_query(Octets{out}.first(written), again) == QueryVerdict::forward);
    assert_true(again.question == question);
    assert_true(again.asker.padding && again.asker.keepalive);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_when_plain_then_fills_in_question_and_asker),
        cmocka_unit_test(test_parse_when_edns_then_fills_in_what_it_says),
        cmocka_unit_test(test_parse_when_payload_size_is_small_then_takes_512),
        cmocka_unit_test(test_parse_when_subnet_has_a_prefix_then_is_no_opt_out),
        cmocka_unit_test(test_parse_when_keepalive_has_a_value_then_it_is_ignored),
        cmocka_unit_test(test_parse_when_option_or_flag_is_unknown_then_forwards),
        cmocka_unit_test(test_parse_when_short_or_a_response_then_drops),
        cmocka_unit_test(test_parse_when_cut_anywhere_then_is_a_format_error),
        cmocka_unit_test(test_parse_when_opcode_is_not_query_then_is_not_implemented),
        cmocka_unit_test(test_parse_when_not_exactly_one_question_then_is_a_format_error),
        cmocka_unit_test(test_parse_when_octets_are_left_over_then_is_a_format_error),
        cmocka_unit_test(test_parse_when_opt_is_wrong_then_is_a_format_error),
        cmocka_unit_test(test_parse_when_option_passes_the_end_then_is_a_format_error),
        cmocka_unit_test(test_parse_when_opt_is_not_last_then_is_found),
        cmocka_unit_test(test_parse_when_options_are_many_then_looks_at_the_first_64),
        cmocka_unit_test(test_parse_when_cookie_has_a_size_then_only_some_are_right),
        cmocka_unit_test(test_parse_when_there_are_several_cookies_then_takes_the_first),
        cmocka_unit_test(test_parse_when_message_is_dropped_then_no_cookie_is_left),
        cmocka_unit_test(test_parse_when_a_cookie_has_no_question_then_it_is_a_query),
        cmocka_unit_test(test_parse_when_version_is_above_0_then_says_so),
        cmocka_unit_test(test_parse_when_signed_then_is_sealed),
        cmocka_unit_test(test_parse_when_tsig_is_not_last_then_is_a_format_error),
        cmocka_unit_test(test_parse_when_question_name_is_compressed_then_is_a_format_error),
        cmocka_unit_test(test_parse_when_counts_are_huge_then_ends_with_the_message),
        cmocka_unit_test(test_equality_when_one_part_differs_then_fails),
        cmocka_unit_test(test_write_when_name_has_any_length_then_pads_to_a_block),
        cmocka_unit_test(test_write_when_question_has_every_flag_then_sets_them),
        cmocka_unit_test(test_write_when_question_has_no_flag_then_sets_none),
        cmocka_unit_test(test_write_plain_then_nothing_is_padded),
        cmocka_unit_test(test_write_when_subnet_opt_out_then_sends_an_empty_one),
        cmocka_unit_test(test_write_when_name_is_longest_then_fits_and_reads_back),
    };
    return cmocka_run_group_tests_name("dns/query", tests, nullptr, nullptr);
}
