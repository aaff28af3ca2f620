// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HttpWire: what inquiries become over HTTP/2, and what is made of responses.

#include "upstream/http_line.hh"

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using dotproxy::Inquiry;
using dotproxy::QueryWire;
using dotproxy::Slots;
using namespace dotproxy::test;

namespace dns = dotproxy::dns;

namespace {

/// What is made of these octets, in response to one inquiry.
QueryWire::Arrival arrival_of(const std::string& octets) {
    HttpLine line;
    Asked inquiry;
    const std::uint16_t slot = line.wire.send(inquiry);
    static_cast<void>(line.written());
    line.feed(octets);
    const QueryWire::Arrival arrival = only(line);
    assert_int_equal(arrival.slot, slot);
    assert_ptr_equal(arrival.inquiry, &inquiry);
    if (arrival.kind == Kind::lost) { // else it is free when its receiver has freed it
        assert_int_equal(line.wire.in_flight(), 0);
    }
    return arrival;
}

// E80
void test_query_has_id_0_and_is_padded(void** /*state*/) {
    HttpLine line;
    Asked inquiry;
    inquiry.question.dnssec_ok = true;
    static_cast<void>(line.wire.send(inquiry));
    assert_int_equal(line.wire.in_flight(), 1);
    assert_true(line.wire.waiting() > 0);
    const std::string query = line.query();
    assert_int_equal(line.sent, 1);
    assert_int_equal(line.wire.waiting(), 0);
    const dns::Octets octets = octets_of(query);
    assert_int_equal(octets.size() % 128, 0);
    assert_int_equal(dns::load16(octets, 0), 0);
    assert_int_equal(dns::flags(octets), dns::test::query_flags);
    constexpr unsigned keepalive = 11;
    constexpr unsigned padding = 12;
    assert_false(dns::test::find_option(octets, keepalive).found);
    assert_true(dns::test::find_option(octets, padding).found);

    inquiry.checking = true;
    static_cast<void>(line.wire.send(inquiry));
    assert_int_equal(dns::flags(octets_of(line.query())),
                     dns::test::query_flags | dns::flag::checking_disabled);
}

// C25: octet by octet, but for its ID.
void test_sealed_query_stays_as_it_is(void** /*state*/) {
    HttpLine line;
    Asked inquiry;
    const Message signed_query = dns::test::query("www.example");
    inquiry.sealed.assign(signed_query.octets().begin(), signed_query.octets().end());
    static_cast<void>(line.wire.send(inquiry));
    std::string expected = text_of(signed_query.octets());
    expected[0] = expected[1] = 0;
    assert_true(line.query() == expected);
}

// E83: matched by stream; its ID says nothing.
void test_answers_find_their_inquiries_by_stream(void** /*state*/) {
    HttpLine line;
    Asked first{"a.example"};
    Asked second{"b.example"};
    const std::uint16_t slot = line.wire.send(first);
    const std::uint16_t other_slot = line.wire.send(second);
    static_cast<void>(line.written());
    assert_int_equal(line.sent, 2);
    std::string answer = answer_to("b.example");
    answer[0] = 77;
    line.feed(reply(3, answer) + reply(1, answer_to("a.example")));
    QueryWire::Arrival arrival = line.wire.next();
    assert_true(arrival.kind == Kind::answer && arrival.inquiry == &second);
    assert_int_equal(arrival.slot, other_slot);
    assert_true(text_of(arrival.message) == answer);
    assert_int_equal(line.wire.in_flight(), 2);
    line.wire.free(other_slot);
    arrival = line.wire.next();
    assert_true(arrival.kind == Kind::answer && arrival.inquiry == &first);
    line.wire.free(slot);
    assert_true(line.wire.next().kind == Kind::nothing);
    assert_int_equal(line.wire.in_flight(), 0);
    assert_true(line.wire.keeps_apart());
    line.wire.keep_rest(dotproxy::TimePoint{});
    assert_true(line.wire.partial_since() == dotproxy::TimePoint::max());
}

// E82: one is kept for a probe, but where there is no more than one.
void test_room_keeps_one_for_a_probe(void** /*state*/) {
    for (const std::uint32_t most : {1U, 2U, 3U, 100U}) {
        HttpLine line{most_streams(most)};
        std::vector<std::unique_ptr<Asked>> inquiries;
        while (line.wire.has_room()) {
            inquiries.push_back(std::make_unique<Asked>());
            static_cast<void>(line.wire.send(*inquiries.back()));
            assert_true(inquiries.size() <= most);
        }
        assert_int_equal(inquiries.size(), std::max(most - 1, 1U));
        const auto heads = [&line] {
            std::vector<Seen> frames = line.written();
            std::erase_if(frames, [](const Seen& one) { return one.type != NGHTTP2_HEADERS; });
            return frames.size();
        };
        assert_int_equal(heads(), inquiries.size());
        if (most > 1) {
            assert_true(line.wire.can_probe());
            line.wire.send_probe();
            assert_int_equal(heads(), 1);
        }
        assert_int_equal(line.wire.in_flight(), inquiries.size());
    }
}

void test_room_is_no_more_than_there_are_slots(void** /*state*/) {
    HttpLine line;
    std::vector<std::unique_ptr<Asked>> inquiries;
    while (line.wire.has_room() && inquiries.size() <= Slots::capacity) {
        inquiries.push_back(std::make_unique<Asked>());
        static_cast<void>(line.wire.send(*inquiries.back()));
    }
    assert_int_equal(inquiries.size(), Slots::capacity - 1);
    static_cast<void>(line.written());
    assert_int_equal(line.sent, inquiries.size());
    line.wire.send_probe();
    static_cast<void>(line.written());
    assert_int_equal(line.sent, 0);
    assert_int_equal(line.wire.in_flight(), inquiries.size());
    line.feed(reply(1, answer_to()));
    const QueryWire::Arrival arrival = only(line);
    assert_ptr_equal(arrival.inquiry, inquiries[0].get());
    line.wire.free(arrival.slot);
    line.wire.forget_probe();
    assert_true(line.wire.has_room());
}

/// The TTL of what arrives with such an age.
std::uint32_t ttl_with(std::string_view age, bool sealed) {
    HttpLine line;
    Asked inquiry;
    if (sealed) {
        const Message query = dns::test::query("www.example");
        inquiry.sealed.assign(query.octets().begin(), query.octets().end());
    }
    static_cast<void>(line.wire.send(inquiry));
    static_cast<void>(line.written());
    line.feed(reply(1, answer_to(), literal("age", age)));
    const QueryWire::Arrival arrival = only(line);
    assert_true(arrival.kind == Kind::answer);
    const std::size_t at = arrival.message.size() - 4 - 2 - 4; // address, length and TTL
    return dns::load32(arrival.message, at);
}

// E87
void test_age_lowers_ttls_unless_they_are_signed(void** /*state*/) {
    assert_int_equal(ttl_with("100", false), 200);
    assert_int_equal(ttl_with("400", false), 0);
    assert_int_equal(ttl_with("0", false), 300);
    assert_int_equal(ttl_with("nonsense", false), 300);
    assert_int_equal(ttl_with("100", true), 300);
}

// E83, E86: whether it says something about the question or about the upstream.
void test_response_that_is_no_answer_is_lost(void** /*state*/) {
    struct Case {
        const char* status;
        Loss loss;
    };

    constexpr std::array cases{
        Case{"201", Loss::unfit},  Case{"204", Loss::unfit},  Case{"301", Loss::unfit},
        Case{"307", Loss::unfit},  Case{"400", Loss::unfit},  Case{"403", Loss::unfit},
        Case{"404", Loss::unfit},  Case{"405", Loss::unfit},  Case{"413", Loss::unfit},
        Case{"415", Loss::unfit},  Case{"421", Loss::unfit},  Case{"429", Loss::too_many},
        Case{"500", Loss::failed}, Case{"501", Loss::unfit},  Case{"502", Loss::failed},
        Case{"503", Loss::busy},   Case{"504", Loss::failed}, Case{"505", Loss::unfit},
        Case{"599", Loss::failed},
    };
    for (const Case& one : cases) {
        for (const std::string& fields : {std::string{}, message_type}) {
            const QueryWire::Arrival arrival = arrival_of(reply_head(1, one.status, fields, true));
            assert_true(arrival.kind == Kind::lost);
            assert_int_equal(arrival.loss, one.loss);
            assert_int_equal(arrival.rest.count(), 0);
            assert_string_equal(
                arrival.reason.c_str(),
                ("answers HTTP " + std::string{one.status} + " on /dns-query").c_str());
        }
    }
}

// E86: a minute at most, and only of those who say that it is too much.
void test_retry_after_is_obeyed_for_a_minute(void** /*state*/) {
    const auto rest = [](std::string_view status, std::string_view delay) {
        return arrival_of(reply_head(1, status, literal("retry-after", delay), true)).rest.count();
    };
    for (const std::string_view status : {"429", "503"}) {
        assert_int_equal(rest(status, "0"), 0);
        assert_int_equal(rest(status, "5"), 5);
        assert_int_equal(rest(status, "60"), 60);
        assert_int_equal(rest(status, "61"), 60);
        assert_int_equal(rest(status, "99999999999999999999"), 60);
        assert_int_equal(rest(status, "Fri, 31 Dec 9999 23:59:59 GMT"), 60);
        assert_int_equal(rest(status, "Sun, 06 Nov 1994 08:49:37 GMT"), 0);
        assert_int_equal(rest(status, "nonsense"), 0);
    }
    assert_int_equal(rest("500", "5"), 0);
    assert_int_equal(rest("301", "5"), 0);
}

// E83
void test_success_with_something_else_is_lost(void** /*state*/) {
    QueryWire::Arrival arrival = arrival_of(
        reply_head(1, "200", literal("content-type", "text/html")) + data(1, answer_to(), true));
    assert_true(arrival.kind == Kind::lost && arrival.loss == Loss::unfit);
    assert_true(arrival.reason.ends_with("/dns-query"));
    std::string question = answer_to();
    question[2] = static_cast<char>(question[2] & 0x7f); // no QR
    for (const std::string& body :
         {std::string{}, std::string{"x"}, answer_to().substr(0, 11), question}) {
        arrival = arrival_of(reply(1, body));
        assert_true(arrival.kind == Kind::lost && arrival.loss == Loss::failed);
        assert_false(arrival.reason.empty());
    }
    assert_true(arrival_of(reply(1, answer_to().substr(0, 12))).kind == Kind::answer);
    assert_true(arrival_of(reply(1, answer_to("other.example"))).kind ==
                Kind::answer); // who takes it looks
}

// E84
void test_stream_errors_are_told_apart(void** /*state*/) {
    QueryWire::Arrival arrival = arrival_of(rst(1, NGHTTP2_REFUSED_STREAM));
    assert_true(arrival.kind == Kind::lost && arrival.loss == Loss::unprocessed);
    for (const auto error : {NGHTTP2_NO_ERROR, NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR,
                             NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_HTTP_1_1_REQUIRED}) {
        arrival = arrival_of(rst(1, error));
        assert_true(arrival.kind == Kind::lost && arrival.loss == Loss::failed);
        assert_false(arrival.reason.empty());
    }
    arrival = arrival_of(reply_head(1, "200", literal("Upper", "x"), true));
    assert_true(arrival.kind == Kind::lost && arrival.loss == Loss::failed);
}

// E84, E85: what it has not seen, be it never written, is told as such.
void test_leave_tells_what_was_not_processed(void** /*state*/) {
    HttpLine line;
    std::array<Asked, 4> inquiries;
    for (Asked& one : inquiries) {
        if (&one == &inquiries[3]) {
            static_cast<void>(line.written());
        }
        static_cast<void>(line.wire.send(one));
    }
    line.feed(goaway(3));
    assert_true(line.wire.next().kind == Kind::leaving);
    assert_false(line.wire.has_room());
    for (int i = 0; i < 2; ++i) {
        const QueryWire::Arrival arrival = line.wire.next();
        assert_true(arrival.kind == Kind::lost && arrival.loss == Loss::unprocessed);
        assert_true(arrival.inquiry == &inquiries[2] || arrival.inquiry == &inquiries[3]);
    }
    line.feed(reply(1, answer_to()));
    const QueryWire::Arrival arrival = only(line);
    assert_true(arrival.kind == Kind::answer && arrival.inquiry == &inquiries[0]);
    line.wire.free(arrival.slot);
    assert_int_equal(line.wire.in_flight(), 1);
    static_cast<void>(line.written());
    assert_int_equal(line.sent, 0);
    assert_true(line.wire.is_sound());
}

// E85
void test_leave_with_an_error_expels(void** /*state*/) {
    const std::array<std::pair<std::uint32_t, Loss>, 3> errors{{
        {NGHTTP2_ENHANCE_YOUR_CALM, Loss::busy},
        {NGHTTP2_INADEQUATE_SECURITY, Loss::unfit},
        {NGHTTP2_HTTP_1_1_REQUIRED, Loss::unfit},
    }};
    for (const auto& [error, loss] : errors) {
        HttpLine line;
        Asked inquiry;
        static_cast<void>(line.wire.send(inquiry));
        static_cast<void>(line.written());
        line.feed(goaway(1, error));
        assert_true(line.wire.next().kind == Kind::leaving);
        const QueryWire::Arrival arrival = only(line);
        assert_true(arrival.kind == Kind::expelled);
        assert_int_equal(arrival.loss, loss);
        assert_true(arrival.reason.ends_with(nghttp2_http2_strerror(error)));
        assert_int_equal(line.wire.in_flight(), 1);
    }
}

void test_nonsense_breaks_the_wire(void** /*state*/) {
    HttpLine line;
    Asked inquiry;
    static_cast<void>(line.wire.send(inquiry));
    static_cast<void>(line.written());
    line.feed(reply(1, answer_to()) + "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_true(line.wire.next().kind == Kind::answer); // what came before counts
    for (int i = 0; i < 2; ++i) {
        const QueryWire::Arrival arrival = line.wire.next();
        assert_true(arrival.kind == Kind::broken);
        assert_false(arrival.reason.empty());
    }
    assert_false(line.wire.is_sound());
    assert_false(line.wire.has_room());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_query_has_id_0_and_is_padded),
        cmocka_unit_test(test_sealed_query_stays_as_it_is),
        cmocka_unit_test(test_answers_find_their_inquiries_by_stream),
        cmocka_unit_test(test_room_keeps_one_for_a_probe),
        cmocka_unit_test(test_room_is_no_more_than_there_are_slots),
        cmocka_unit_test(test_age_lowers_ttls_unless_they_are_signed),
        cmocka_unit_test(test_response_that_is_no_answer_is_lost),
        cmocka_unit_test(test_retry_after_is_obeyed_for_a_minute),
        cmocka_unit_test(test_success_with_something_else_is_lost),
        cmocka_unit_test(test_stream_errors_are_told_apart),
        cmocka_unit_test(test_leave_tells_what_was_not_processed),
        cmocka_unit_test(test_leave_with_an_error_expels),
        cmocka_unit_test(test_nonsense_breaks_the_wire),
    };
    return cmocka_run_group_tests_name("upstream/http_wire", tests, nullptr, nullptr);
}
