// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/answer.hh"

#include "dns/answers.hh"
#include "dns/messages.hh"

#include <algorithm>
#include <string>
#include <string_view>

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

Bytes error_option(unsigned code, std::string_view text) {
    Bytes data;
    data.u16(code).text(text);
    Bytes options;
    return options.option(15, data.octets());
}

void test_answer_when_plain_then_differs_in_id_flags_and_spelling_only(void** /*state*/) {
    const ParsedQuery asked = parsed(query("wWw.exAmple.com"));
    Message from = upstream(0x0400 | 0x0040 | 0x0020); // AA, Z, AD
    const std::size_t body_end = from.size();
    from.opt({}, 1232, dnssec_ok);
    Written written;
    answer(from, asked, {}, written);
    const Octets out = written.octets();
    assert_int_equal(id(out), 0x1234);
    assert_int_equal(flags(out), 0x8180); // C32
    assert_int_equal(out.size(), body_end);
    assert_true(same(out.subspan(12, 17), wire_name("wWw.exAmple.com").octets())); // C31
    assert_true(same(out.subspan(29), from.octets().subspan(29, body_end - 29)));  // C21, C22
    assert_int_equal(layout(out).opts, 0);                                         // C41
    assert_int_equal(arcount(out), 0);
}

void test_answer_when_upstream_folded_the_name_then_spelling_is_the_askers(void** /*state*/) {
    Message from{7, response_flags};
    from.question("WWW.EXAMPLE.COM", type::a).at(12, Section::answer, type::a, address);
    Written written;
    answer(from, parsed(query("www.exampLe.com")), {}, written);
    assert_true(same(written.octets().subspan(12, 17), wire_name("www.exampLe.com").octets()));
}

void test_answer_when_asker_set_flags_then_echoes_rd_and_cd(void** /*state*/) {
    for (const unsigned bits : {0x0000U, 0x0100U, 0x0010U, 0x0110U}) {
        Message asked{1, bits};
        asked.question("www.example.com", type::a);
        Written written;
        answer(upstream(), parsed(asked), {}, written);
        assert_int_equal(flags(written.octets()), 0x8080U | bits);
    }
}

void test_answer_when_authentic_then_tells_those_who_asked(void** /*state*/) {
    struct {
        unsigned flags;
        std::uint32_t ttl;
        bool edns;
        bool told;
    } const cases[] = {{0x0100, 0, false, false},
                       {0x0120, 0, false, true},
                       {0x0100, 0, true, false},
                       {0x0100, dnssec_ok, true, true}};

    for (const auto& [bits, ttl, edns, told] : cases) {
        for (const unsigned authentic : {0U, 0x0020U}) {
            Message asked{1, bits};
            asked.question("www.example.com", type::a);
            if (edns) {
                asked.opt({}, 1232, ttl);
            }
            Written written;
            answer(upstream(authentic), parsed(asked), {}, written);
            assert_int_equal(flags(written.octets()) & 0x0020, told ? authentic : 0); // C90
        }
    }
}

void test_answer_when_asker_sent_an_opt_then_gets_one_of_ours(void** /*state*/) {
    Bytes theirs;
    theirs.option(12, address).option(10, address).option(3, address).option(65001, address);
    Message from = upstream();
    from.opt(theirs.octets(), 4000, 0x00404000); // padding, cookie, NSID; unknown flags
    for (const std::uint32_t ttl : {std::uint32_t{0}, dnssec_ok | 0x4000}) {
        Written written;
        answer(from, parsed(edns_query({}, ttl)), {}, written);
        const Layout found = layout(written.octets());
        assert_true(found.sound);
        assert_int_equal(found.opts, 1);
        assert_int_equal(written.octets().size() - found.opt, 11); // C40: nothing of theirs
        assert_int_equal(load16(written.octets(), found.opt + 3), 1232);
        assert_int_equal(load32(written.octets(), found.opt + 5), ttl & dnssec_ok); // C46
    }
}

void test_answer_when_upstream_had_no_opt_then_asker_still_gets_one(void** /*state*/) {
    Written written;
    answer(upstream(), parsed(edns_query()), {}, written);
    assert_int_equal(layout(written.octets()).opts, 1);
    assert_int_equal(arcount(written.octets()), 1);
}

void test_answer_when_asker_opted_out_of_subnets_then_echoes_it(void** /*state*/) {
    const std::array<std::uint8_t, 4> opt_out{0, 2, 0, 0};
    Bytes options;
    options.option(8, opt_out);
    Written written;
    answer(upstream(), parsed(edns_query(options.octets())), {}, written);
    const FoundOption echoed = find_option(written.octets(), 8);
    assert_true(echoed.count == 1 && same(echoed.data, opt_out));
}

void test_answer_when_keepalive_is_offered_then_goes_to_who_asked(void** /*state*/) {
    Bytes options;
    options.option(11);
    Channel channel;
    for (const bool offered : {false, true}) {
        channel.keepalive = offered ? std::optional<std::uint16_t>{100} : std::nullopt;
        for (const bool wanted : {false, true}) {
            Written written;
            answer(upstream(), parsed(edns_query(wanted ? options.octets() : Octets{})), channel,
                   written);
            const FoundOption keepalive = find_option(written.octets(), 11);
            assert_int_equal(keepalive.found, offered && wanted); // C50
            assert_true(!keepalive.found || load16(keepalive.data, 0) == 100);
        }
    }
}

// E24; RFC 8467, section 4.1
void test_answer_when_the_way_is_encrypted_then_padded_to_a_block(void** /*state*/) {
    for (std::size_t size = 0; size < 1000; size += 7) {
        const std::string text(size % 100, 'x');
        Bytes options = error_option(6, text);
        Message from = upstream();
        for (std::size_t i = 0; i < size / 100; ++i) {
            options.raw(error_option(6, text).octets());
        }
        from.opt(options.octets());
        Written padded;
        answer(from, parsed(edns_query()), {.keepalive = {}, .encrypted = true}, padded);
        const Octets out = padded.octets();
        assert_int_equal(out.size() % dotproxy::dns::padded_block, 0);
        assert_true(layout(out).sound);
        const FoundOption padding = find_option(out, 12);
        assert_int_equal(padding.count, 1);
        assert_true(std::ranges::all_of(padding.data, [](auto octet) { return octet == 0; }));
    }
    // Who sent no OPT has nothing to put it in.
    Written bare;
    answer(upstream(), parsed(query("www.example.com")), {.keepalive = {}, .encrypted = true},
           bare);
    Written plain;
    answer(upstream(), parsed(query("www.example.com")), {}, plain);
    assert_true(same(bare.octets(), plain.octets()));
}

// What there is no room for is left out, and nothing else is.
void test_answer_when_padding_does_not_fit_then_as_much_as_does(void** /*state*/) {
    Written plain;
    answer(upstream(), parsed(edns_query()), {}, plain);
    const std::size_t size = plain.octets().size();
    for (std::size_t more = 0; more < 20; ++more) {
        Written written;
        answer(upstream(), parsed(edns_query()),
               {.limit = size + more, .keepalive = {}, .encrypted = true}, written);
        assert_int_equal(written.octets().size(), more < 4 ? size : size + more);
        assert_true(layout(written.octets()).sound);
        assert_int_equal(flags(written.octets()) & 0x0200, 0);
    }
}

void test_answer_when_upstream_sent_errors_then_passes_them_on(void** /*state*/) {
    Bytes options = error_option(6, "bogus");
    options.raw(error_option(9, "").octets());
    Message from{7, response_flags | 2};
    from.question("www.example.com", type::a);
    from.opt(options.octets());
    Written written;
    answer(from, parsed(edns_query()), {}, written);
    const FoundOption error = find_option(written.octets(), 15);
    assert_int_equal(error.count, 2);
    assert_true(same(error.data, options.octets().subspan(4, 7)));
    Written plain;
    answer(from, parsed(query("www.example.com")), {}, plain);
    assert_int_equal(layout(plain.octets()).opts, 0);
}

void test_answer_when_rcode_needs_an_opt_then_plain_asker_gets_servfail(void** /*state*/) {
    Message from = upstream();
    from.opt({}, 1232, 0x01000000 | 0); // BADVERS
    Written plain;
    answer(from, parsed(query("www.example.com")), {}, plain);
    assert_int_equal(flags(plain.octets()) & 0xf, 2);
    Written edns;
    answer(from, parsed(edns_query()), {}, edns);
    assert_int_equal(flags(edns.octets()) & 0xf, 0);
    assert_int_equal(load32(edns.octets(), layout(edns.octets()).opt + 5), 0x01000000);
}

void test_answer_when_response_has_no_question_then_puts_it_in(void** /*state*/) {
    Message from{7, response_flags | 5};
    from.record(Section::answer, "evil.example", type::a, address);
    Written written;
    answer(from, parsed(query("wWw.example.com")), {}, written);
    const Octets out = written.octets();
    assert_int_equal(flags(out), 0x8185);
    assert_int_equal(qdcount(out), 1);
    assert_int_equal(ancount(out), 0);
    assert_true(same(out.subspan(12), query("wWw.example.com").octets().subspan(12)));
}

void test_answer_when_it_just_fits_then_is_whole(void** /*state*/) {
    const ParsedQuery asked = parsed(edns_query());
    Written whole;
    answer(upstream(), asked, {}, whole);
    const std::size_t size = whole.octets().size();
    Written fits;
    answer(upstream(), asked, {.limit = size, .keepalive = {}}, fits);
    assert_true(same(fits.octets(), whole.octets()));
    Written cut;
    answer(upstream(), asked, {.limit = size - 1, .keepalive = {}}, cut);
    const Octets out = cut.octets();
    assert_int_equal(flags(out) & 0x0200, 0x0200); // C35
    assert_int_equal(qdcount(out), 1);
    assert_int_equal(ancount(out) + nscount(out), 0);
    assert_int_equal(layout(out).opts, 1);
    assert_true(layout(out).sound);
    assert_int_equal(out.size(), layout(out).question_end + 11);
}

void test_answer_when_errors_do_not_fit_then_drops_those_only(void** /*state*/) {
    Bytes options = error_option(22, std::string_view{"no authority could be reached"});
    options.raw(error_option(23, "").octets());
    Message from = upstream();
    from.opt(options.octets());
    const ParsedQuery asked = parsed(edns_query());
    Written bare;
    answer(upstream(), asked, {}, bare);
    for (std::size_t extra = 0; extra < 60; ++extra) { // L4
        Written written;
        answer(from, asked, {.limit = bare.octets().size() + extra, .keepalive = {}}, written);
        assert_int_equal(flags(written.octets()) & 0x0200, 0);
        assert_int_equal(ancount(written.octets()), 1);
        assert_true(layout(written.octets()).sound);
        assert_int_equal(find_option(written.octets(), 15).found, extra >= 6);
    }
}

// L3: an upstream message that leaves no room for what an asker's OPT needs.
void test_answer_when_upstream_is_largest_then_never_grows_beyond(void** /*state*/) {
    for (const std::size_t size : {65400U, 65524U, 65525U, 65535U}) {
        for (const bool edns : {false, true}) {
            Message from = response("www.example.com");
            from.pointer(12).u16(10).u16(1).u32(1); // NULL, of any size
            const std::size_t rdata = size - from.size() - 2;
            from.u16(static_cast<unsigned>(rdata)).fill(rdata, 'x');
            from.count(Section::authority);
            assert_int_equal(from.size(), size);
            const ParsedQuery asked = parsed(edns ? edns_query() : query("www.example.com"));
            Written written;
            answer(from, asked, {}, written);
            const bool fits = !edns || size + 11 <= max_message_size;
            assert_int_equal(flags(written.octets()) & 0x0200, fits ? 0 : 0x0200);
            assert_int_equal(layout(written.octets()).opts, edns ? 1 : 0);
            assert_true(layout(written.octets()).sound);
        }
    }
}

void test_answer_when_room_is_absurd_then_stays_within_it(void** /*state*/) {
    Bytes options;
    const std::array<std::uint8_t, 4> opt_out{0, 1, 0, 0};
    options.option(8, opt_out).option(11);
    const ParsedQuery asked = parsed(edns_query(options.octets()));
    Message from = upstream();
    from.opt(error_option(22, "why not").octets());
    for (std::size_t limit = 0; limit < 120; ++limit) {
        Written written;
        answer(from, asked, {.limit = limit, .keepalive = 100}, written);
        const std::size_t size = written.octets().size();
        assert_true(limit < header_size ? size == 0 : layout(written.octets()).sound);
    }
    Response response;
    assert_true(parse_response(from.octets(), asked.question, response) ==
                ResponseVerdict::accepted);
    for (std::size_t room = 0; room < 120; ++room) { // the buffer bounds it as well
        Written written;
        const std::size_t size = write_answer(answer_of(from.octets(), response), asked.question,
                                              asked.asker, {}, written.room(room));
        assert_true(size <= room);
        assert_true(written.untouched_behind(room));
    }
}

void test_answer_when_there_is_an_error_of_ours_then_it_comes_first(void** /*state*/) {
    Answer answer;
    for (std::uint16_t code = 1; code <= 6; ++code) {
        answer.say_first({.code = code, .text = {}});
        assert_int_equal(answer.error_count, std::min<std::size_t>(code, max_errors));
        for (std::size_t i = 0; i < answer.error_count; ++i) {
            assert_int_equal(answer.said()[i].code, code - i);
        }
    }
}

void test_answer_when_given_its_room_then_is_whole(void** /*state*/) {
    Message from = upstream();
    from.opt(error_option(22, std::string_view{"no authority could be reached"}).octets());
    Bytes options;
    const std::array<std::uint8_t, 4> opt_out{0, 1, 0, 0};
    options.option(8, opt_out).option(11);
    const ParsedQuery asked = parsed(edns_query(options.octets()));
    Response response;
    assert_true(parse_response(from.octets(), asked.question, response) ==
                ResponseVerdict::accepted);
    const Answer view = answer_of(from.octets(), response);
    const std::size_t room = answer_room(view, asked.question);
    Written whole;
    answer(from, asked, {.limit = max_message_size, .keepalive = 100}, whole);
    Written written;
    written.close(write_answer(view, asked.question, asked.asker, {.limit = room, .keepalive = 100},
                               written.room(room)));
    assert_true(same(written.octets(), whole.octets()));
}

void test_udp_limit_when_asker_offers_then_lies_between_512_and_1232(void** /*state*/) {
    assert_int_equal(udp_limit(parsed(query("a.example")).asker), 512); // C33

    struct {
        unsigned offer;
        std::size_t limit;
    } const cases[] = {{0, 512}, {511, 512}, {513, 513}, {1232, 1232}, {1233, 1232}, {65535, 1232}};

    for (const auto& [offer, limit] : cases) {
        Message message = query("a.example");
        message.opt({}, offer);
        assert_int_equal(udp_limit(parsed(message).asker), limit);
    }
}

void test_failure_when_asker_has_edns_then_says_why(void** /*state*/) {
    const ExtendedError error{.code = ExtendedError::network_error, .text = address};
    Written written;
    refuse(Rcode::servfail, error, parsed(edns_query({}, dnssec_ok)), {}, written);
    const Octets out = written.octets();
    assert_int_equal(id(out), 0x1234);
    assert_int_equal(flags(out), 0x8182);
    assert_true(same(out.subspan(12, 17), wire_name("wWw.exAmple.com").octets()));
    const FoundOption found = find_option(out, 15);
    assert_int_equal(found.data.size(), 6);
    assert_int_equal(load16(found.data, 0), 23);
    assert_int_equal(load32(out, layout(out).opt + 5), dnssec_ok);
    Written plain;
    refuse(Rcode::servfail, error, parsed(query("www.example.com")), {}, plain);
    assert_int_equal(plain.octets().size(), 33);
}

void test_failure_when_no_question_then_is_a_bare_header(void** /*state*/) {
    Message notify{0xcafe, 4U << 11U | 0x0100};
    const ParsedQuery asked = parsed(notify);
    Written written;
    written.close(
        write_failure(Rcode::notimp, std::nullopt, nullptr, asked.asker, {}, written.room(512)));
    const Octets out = written.octets();
    assert_int_equal(out.size(), header_size);
    assert_int_equal(id(out), 0xcafe);
    assert_int_equal(flags(out), 0x8000 | 4 << 11 | 0x0100 | 0x0080 | 4); // C27
    assert_int_equal(qdcount(out), 0);
}

void test_failure_when_version_is_bad_then_offers_version_0(void** /*state*/) {
    Message message = query("www.example.com");
    message.opt({}, 1232, 0x00030000);
    Written written;
    refuse(Rcode::badvers, std::nullopt, parsed(message), {}, written);
    const Octets out = written.octets();
    assert_int_equal(flags(out) & 0xf, 0);
    assert_int_equal(load32(out, layout(out).opt + 5), 0x01000000); // C42
}

void test_failure_when_text_is_too_long_then_is_cut_between_characters(void** /*state*/) {
    Bytes text;
    for (int i = 0; i < 40; ++i) {
        text.text("\xe2\x82\xac");
    }
    const ExtendedError error{.code = 23, .text = text.octets()};
    const ParsedQuery asked = parsed(edns_query());
    for (std::size_t limit = 44; limit < 200; ++limit) {
        Written written;
        refuse(Rcode::servfail, error, asked, {.limit = limit, .keepalive = {}}, written);
        assert_true(written.octets().size() <= limit);
        assert_true(layout(written.octets()).sound);
        const FoundOption found = find_option(written.octets(), 15);
        assert_int_equal(found.found, limit >= 50);
        if (found.found) {
            const std::size_t room = std::min<std::size_t>(limit - 50, 120);
            assert_int_equal(found.data.size(), 2 + room / 3 * 3);
        }
    }
}

void test_sealed_when_it_fits_then_only_the_id_changes(void** /*state*/) {
    const ParsedQuery asked = parsed(query("wWw.example.com"));
    Message from = upstream(0x0400 | 0x0040);
    from.record(Section::additional, "key", type::tsig, address, klass::any);
    Written written;
    written.close(write_sealed(from.octets(), asked.question, asked.asker, {},
                               written.room(max_message_size)));
    assert_int_equal(id(written.octets()), 0x1234);
    assert_true(same(written.octets().subspan(2), from.octets().subspan(2))); // C25
}

void test_sealed_when_it_does_not_fit_then_is_truncated(void** /*state*/) {
    const ParsedQuery asked = parsed(edns_query());
    Message from = upstream(2);
    from.record(Section::additional, "key", type::tsig, address, klass::any);
    Written written;
    const Channel channel{.limit = from.size() - 1, .keepalive = {}};
    written.close(write_sealed(from.octets(), asked.question, asked.asker, channel,
                               written.room(max_message_size)));
    const Octets out = written.octets();
    assert_true(out.size() <= channel.limit);
    assert_int_equal(flags(out), 0x8382);
    assert_int_equal(qdcount(out), 1);
    assert_int_equal(ancount(out), 0);
    assert_int_equal(layout(out).opts, 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_when_plain_then_differs_in_id_flags_and_spelling_only),
        cmocka_unit_test(test_answer_when_upstream_folded_the_name_then_spelling_is_the_askers),
        cmocka_unit_test(test_answer_when_asker_set_flags_then_echoes_rd_and_cd),
        cmocka_unit_test(test_answer_when_authentic_then_tells_those_who_asked),
        cmocka_unit_test(test_answer_when_asker_sent_an_opt_then_gets_one_of_ours),
        cmocka_unit_test(test_answer_when_upstream_had_no_opt_then_asker_still_gets_one),
        cmocka_unit_test(test_answer_when_asker_opted_out_of_subnets_then_echoes_it),
        cmocka_unit_test(test_answer_when_keepalive_is_offered_then_goes_to_who_asked),
        cmocka_unit_test(test_answer_when_the_way_is_encrypted_then_padded_to_a_block),
        cmocka_unit_test(test_answer_when_padding_does_not_fit_then_as_much_as_does),
        cmocka_unit_test(test_answer_when_upstream_sent_errors_then_passes_them_on),
        cmocka_unit_test(test_answer_when_rcode_needs_an_opt_then_plain_asker_gets_servfail),
        cmocka_unit_test(test_answer_when_response_has_no_question_then_puts_it_in),
        cmocka_unit_test(test_answer_when_it_just_fits_then_is_whole),
        cmocka_unit_test(test_answer_when_errors_do_not_fit_then_drops_those_only),
        cmocka_unit_test(test_answer_when_upstream_is_largest_then_never_grows_beyond),
        cmocka_unit_test(test_answer_when_room_is_absurd_then_stays_within_it),
        cmocka_unit_test(test_answer_when_there_is_an_error_of_ours_then_it_comes_first),
        cmocka_unit_test(test_answer_when_given_its_room_then_is_whole),
        cmocka_unit_test(test_udp_limit_when_asker_offers_then_lies_between_512_and_1232),
        cmocka_unit_test(test_failure_when_asker_has_edns_then_says_why),
        cmocka_unit_test(test_failure_when_no_question_then_is_a_bare_header),
        cmocka_unit_test(test_failure_when_version_is_bad_then_offers_version_0),
        cmocka_unit_test(test_failure_when_text_is_too_long_then_is_cut_between_characters),
        cmocka_unit_test(test_sealed_when_it_fits_then_only_the_id_changes),
        cmocka_unit_test(test_sealed_when_it_does_not_fit_then_is_truncated),
    };
    return cmocka_run_group_tests_name("dns/answer", tests, nullptr, nullptr);
}
