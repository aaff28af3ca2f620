// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HTTP/2 with an upstream that behaves: what it is asked, how much at a time, and what is made of
// its responses.

#include "http/upstream_peer.hh"

#include <array>
#include <ctime>

using namespace dotproxy::http;
using namespace dotproxy::http::test;

namespace {

using Kind = Event::Kind;
using std::chrono::seconds;

/// The only thing that there is to be told, which is a response.
Told only_response(Caller& caller) {
    std::vector<Told> told = caller.told();
    assert_int_equal(told.size(), 1);
    assert_int_equal(told[0].kind, Kind::response);
    return told[0];
}

/// What is made of a response with these fields, to the first request.
Told response_with(std::string_view status, const std::string& fields) {
    const auto caller = Caller::greeted();
    caller->ask(7, "question");
    static_cast<void>(caller->said());
    caller->feed(reply_head(1, status, fields) + data(1, "answer", true));
    assert_int_equal(caller->session.waiting(), 0);
    assert_int_equal(caller->session.room(), 0xffffffff);
    return only_response(*caller);
}

// E81
void test_greeting_forbids_pushes_and_widens_the_window(void** /*state*/) {
    Caller caller;
    const std::string written = caller.written();
    assert_true(written.starts_with(preface));
    const std::vector<Seen> said = frames_of(std::string_view{written}.substr(preface.size()));
    assert_int_equal(said.size(), 2);
    assert_int_equal(said[0].type, NGHTTP2_SETTINGS);
    assert_true(said[0].payload == big_endian(NGHTTP2_SETTINGS_ENABLE_PUSH, 2) + big_endian(0, 4) +
                                       big_endian(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2) +
                                       big_endian(0, 4));
    assert_int_equal(said[1].type, NGHTTP2_WINDOW_UPDATE);
    assert_int_equal(said[1].stream, 0);
    assert_int_equal(said[1].error(), (1U << 20U) - 65535); // the increment is where errors are
    assert_int_equal(caller.session.waiting(), 0);
}

// E80: this, in this order, and nothing else.
void test_request_has_what_a_post_takes(void** /*state*/) {
    Caller caller{{"dns.example:8443", "/dns-query?x=1"}};
    UpstreamPeer peer;
    caller.ask(3, "question");
    assert_int_equal(caller.session.waiting(), 8);
    peer.carry(caller);
    assert_int_equal(peer.requests.size(), 1);
    const Taken& taken = peer.requests.at(1);
    assert_true((taken.fields == Fields{{":method", "POST"},
                                        {":scheme", "https"},
                                        {":authority", "dns.example:8443"},
                                        {":path", "/dns-query?x=1"},
                                        {"accept", "application/dns-message"},
                                        {"content-type", "application/dns-message"},
                                        {"content-length", "8"}}));
    assert_string_equal(taken.body.c_str(), "question");
    assert_true(taken.whole && !taken.closed);
    assert_int_equal(caller.session.waiting(), 0);

    peer.answer(1, "answer");
    peer.carry(caller);
    const Told told = only_response(caller);
    assert_int_equal(told.tag, 3);
    assert_int_equal(told.status, 200);
    assert_true(told.is_message);
    assert_string_equal(told.octets.c_str(), "answer");
    assert_true(taken.closed);
    assert_int_equal(taken.error, NGHTTP2_NO_ERROR);
}

void test_request_of_the_longest_message_is_whole(void** /*state*/) {
    Caller caller;
    UpstreamPeer peer;
    const std::string longest(65535, 'q');
    caller.ask(0, longest);
    caller.ask(1, longest); // beyond the window that there is in the beginning
    caller.session.fill();
    assert_true(caller.session.waiting() > 2 * longest.size());
    peer.carry(caller);
    for (const std::int32_t id : {1, 3}) {
        assert_true(peer.requests.at(id).body == longest && peer.requests.at(id).whole);
    }
    assert_int_equal(caller.session.waiting(), 0);
}

void test_answers_come_in_any_order(void** /*state*/) {
    const auto caller = Caller::greeted();
    for (const std::uint16_t tag : std::array<std::uint16_t, 3>{4000, 0, 17}) {
        caller->ask(tag, "question");
    }
    const std::vector<Seen> heads = caller->said(NGHTTP2_HEADERS);
    assert_int_equal(heads.size(), 3);
    caller->feed(reply_head(5, "200", message_type) + reply(1, "first") + reply(3, "second") +
                 data(5, "third", true));
    const std::vector<Told> told = caller->told();
    assert_int_equal(told.size(), 3);
    assert_true(told[0].tag == 4000 && told[0].octets == "first");
    assert_true(told[1].tag == 0 && told[1].octets == "second");
    assert_true(told[2].tag == 17 && told[2].octets == "third");
}

// E82: a hundred before the peer has said anything, and without a limit what there are numbers for.
void test_room_is_what_the_peer_allows_less_what_is_open(void** /*state*/) {
    Caller caller;
    assert_int_equal(caller.session.room(), 100);
    caller.ask(0, "question");
    assert_int_equal(caller.session.room(), 99);
    static_cast<void>(caller.said());
    assert_int_equal(caller.session.room(), 99);
    caller.feed(settings());
    assert_int_equal(caller.session.room(), 0xffffffff - 1);
    caller.feed(most_streams(10));
    assert_int_equal(caller.session.room(), 9);
    caller.feed(reply(1, "answer"));
    assert_int_equal(caller.session.room(), 10);
    caller.feed(most_streams(0xffffffff));
    assert_int_equal(caller.session.room(), 0xffffffff);
    assert_int_equal(caller.told().size(), 1);
}

// E82: it never wraps, and those that are open already are not harmed.
void test_room_is_none_when_less_is_allowed_than_is_open(void** /*state*/) {
    Caller caller;
    for (std::uint16_t tag = 0; tag < 5; ++tag) {
        caller.ask(tag, "question");
    }
    assert_int_equal(caller.said(NGHTTP2_HEADERS).size(), 5);
    caller.feed(most_streams(3));
    assert_int_equal(caller.session.room(), 0);
    caller.feed(reply(1, "a") + reply(3, "b"));
    assert_int_equal(caller.session.room(), 0);
    caller.feed(reply(5, "c"));
    assert_int_equal(caller.session.room(), 1);
    caller.feed(reply(7, "d") + reply(9, "e"));
    assert_int_equal(caller.session.room(), 3);
    assert_int_equal(caller.told().size(), 5);
}

// E82: with the fill() that follows each has left this host, and its message with it.
void test_requests_within_room_do_not_wait(void** /*state*/) {
    Caller caller;
    for (std::uint16_t tag = 0; tag < 100; ++tag) {
        caller.ask(tag, "question");
    }
    assert_int_equal(caller.session.room(), 0);
    const std::vector<Seen> said = caller.said();
    const auto count = [&said](std::uint8_t type) {
        return std::ranges::count_if(said, [=](const Seen& one) { return one.type == type; });
    };
    assert_int_equal(count(NGHTTP2_HEADERS), 100);
    assert_int_equal(count(NGHTTP2_DATA), 100);
    assert_int_equal(caller.session.waiting(), 0);
    caller.feed(most_streams(50));
    assert_int_equal(caller.said(NGHTTP2_HEADERS).size(), 0);
}

// E82: the same where the peer says so in the very turn in which they were asked: what it does not
// take is told, and does not wait in nghttp2, where nobody can move it.
void test_requests_that_lost_their_room_do_not_wait(void** /*state*/) {
    Caller caller;
    static_cast<void>(caller.said());
    for (std::uint16_t tag = 0; tag < 5; ++tag) {
        caller.ask(tag, "question");
    }
    caller.feed(most_streams(2));
    const std::size_t written = caller.said(NGHTTP2_HEADERS).size();
    std::size_t refused = 0;
    for (const Told& one : caller.told()) {
        refused += one.kind == Kind::refused ? 1 : 0;
    }
    assert_int_equal(written + refused, 5);
    assert_int_equal(caller.session.waiting(), 0);
}

void test_response_of_any_status_is_told(void** /*state*/) {
    for (const std::string_view status : {"200", "203", "301", "400", "429", "500", "503", "999"}) {
        const Told told = response_with(status, message_type);
        assert_int_equal(told.tag, 7);
        assert_int_equal(told.status, std::stoi(std::string{status}));
        assert_true(told.is_message);
        assert_string_equal(told.octets.c_str(), "answer");
        assert_false(told.retry_after.has_value());
        assert_int_equal(told.age.count(), 0);
    }
}

void test_response_without_a_body_is_told(void** /*state*/) {
    const auto caller = Caller::greeted();
    caller->ask(7, "question");
    static_cast<void>(caller->said());
    caller->feed(reply_head(1, "204", "", true));
    const Told told = only_response(*caller);
    assert_int_equal(told.status, 204);
    assert_false(told.is_message);
    assert_true(told.body.empty());
}

// E83: parameters are ignored, and letters of either case are the same (RFC 9110, section 8.3.1).
void test_type_is_that_of_a_message_or_not(void** /*state*/) {
    const auto is_message = [](std::string_view type) {
        return response_with("200", literal("content-type", type)).is_message;
    };
    for (const std::string_view type :
         {"application/dns-message", "Application/DNS-Message", "application/dns-message;a=b",
          "application/dns-message ; charset=utf-8"}) {
        assert_true(is_message(type));
    }
    for (const std::string_view type :
         {"", "application/dns-json", "application/dns-messages", "application/dns-messag",
          "text/html; application/dns-message", "application/dns-message, text/html", ";"}) {
        assert_false(is_message(type));
    }
    assert_false(response_with("200", "").is_message);
}

// E87
void test_age_is_a_number_of_seconds_or_none(void** /*state*/) {
    const auto age = [](std::string_view text) {
        return response_with("200", message_type + literal("age", text)).age.count();
    };
    assert_int_equal(age("0"), 0);
    assert_int_equal(age("300"), 300);
    assert_int_equal(age("00300"), 300);
    assert_int_equal(age("2147483648"), 1U << 31U);
    assert_int_equal(age("99999999999999999999999"), 1U << 31U); // RFC 9111, section 1.2.2
    for (const std::string_view text : {"", "-1", "+1", "1.5", "1s", "0x10", "a", "1,2"}) {
        assert_int_equal(age(text), 0);
    }
}

// E86: RFC 9110, section 10.2.3.
void test_retry_after_is_seconds_or_a_date(void** /*state*/) {
    const auto delay = [](std::string_view text) {
        return response_with("503", literal("retry-after", text)).retry_after;
    };
    assert_true(delay("0") == seconds{0});
    assert_true(delay("120") == seconds{120});
    assert_true(delay("Sun, 06 Nov 1994 08:49:37 GMT") == seconds{0}); // is over
    const auto far = delay("Fri, 31 Dec 9999 23:59:59 GMT");
    assert_true(far && *far <= seconds{253'402'300'799 - std::time(nullptr)} &&
                *far > seconds{253'402'300'799 - std::time(nullptr) - 60});
    for (const std::string_view text :
         {"", "soon", "-5", "1.5", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"}) {
        assert_false(delay(text).has_value());
    }
}

// E83: what comes before the response is not it, be it ever so much like it.
void test_interim_responses_are_skipped(void** /*state*/) {
    const auto caller = Caller::greeted();
    caller->ask(7, "question");
    static_cast<void>(caller->said());
    const std::string misleading =
        message_type + literal("age", "99") + literal("retry-after", "99");
    caller->feed(reply_head(1, "100") + reply_head(1, "103", misleading));
    assert_true(caller->told().empty());
    caller->feed(reply_head(1, "503") + data(1, "busy", true));
    const Told told = only_response(*caller);
    assert_int_equal(told.status, 503);
    assert_false(told.is_message || told.retry_after);
    assert_int_equal(told.age.count(), 0);
}

// E83: what comes behind the body neither.
void test_trailers_are_skipped(void** /*state*/) {
    const auto caller = Caller::greeted();
    caller->ask(7, "question");
    static_cast<void>(caller->said());
    caller->feed(reply_head(1, "200", message_type + literal("age", "1")) + data(1, "answer"));
    assert_true(caller->told().empty());
    caller->feed(frame(NGHTTP2_HEADERS, end_headers | end_stream, 1,
                       literal("content-type", "text/html") + literal("age", "99") +
                           literal("retry-after", "99")));
    const Told told = only_response(*caller);
    assert_true(told.is_message && !told.retry_after);
    assert_int_equal(told.age.count(), 1);
    assert_string_equal(told.octets.c_str(), "answer");
}

// E83: the longest message there can be, and one octet more.
void test_body_has_the_size_of_a_message_or_is_reset(void** /*state*/) {
    Caller caller;
    UpstreamPeer peer;
    caller.ask(0, "question");
    caller.ask(1, "question");
    caller.ask(2, "question");
    peer.carry(caller);
    const std::string longest(ClientSession::body_limit, 'a');
    peer.answer(1, longest);
    peer.answer(3, longest + "a");
    peer.answer(5, std::string(1U << 20U, 'a'));
    peer.carry(caller);
    std::vector<Told> told = caller.told();
    assert_int_equal(told.size(), 3);
    std::ranges::sort(told, {}, &Told::tag);
    assert_true(told[0].kind == Kind::response && told[0].octets == longest);
    assert_true(told[1].kind == Kind::failed && told[2].kind == Kind::failed);
    assert_int_equal(peer.requests.at(5).error, NGHTTP2_CANCEL);
    assert_true(caller.session.is_sound());
    assert_int_equal(caller.session.room(), 0xffffffff);
}

// What is too much in the same frame as it ends.
void test_body_that_is_too_long_at_its_end_fails(void** /*state*/) {
    const auto caller = Caller::greeted();
    caller->ask(7, "question");
    static_cast<void>(caller->said());
    caller->feed(reply_head(1, "200", message_type));
    for (int i = 0; i < 4; ++i) {
        caller->feed(data(1, std::string(16383, 'a')));
    }
    caller->feed(data(1, "aaaa", true));
    const std::vector<Told> told = caller->told();
    assert_int_equal(told.size(), 1);
    assert_true(told[0].kind == Kind::failed && told[0].tag == 7);
    assert_true(caller->session.is_sound());
}

// E81: the peer may go on as long as it likes, with many answers at once.
void test_windows_are_opened_again(void** /*state*/) {
    Caller caller;
    UpstreamPeer peer;
    const std::string longest(ClientSession::body_limit, 'a');
    std::size_t answers = 0;
    for (std::int32_t id = 1; id < 2 * 60;) {
        for (std::uint16_t tag = 0; tag < 20; ++tag) {
            caller.ask(tag, "question");
        }
        peer.carry(caller);
        for (int i = 0; i < 20; ++i, id += 2) {
            peer.answer(id, longest);
        }
        peer.carry(caller);
        for (const Told& one : caller.told()) {
            assert_true(one.kind == Kind::response && one.octets == longest);
            ++answers;
        }
    }
    assert_int_equal(answers, 60);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_greeting_forbids_pushes_and_widens_the_window),
        cmocka_unit_test(test_request_has_what_a_post_takes),
        cmocka_unit_test(test_request_of_the_longest_message_is_whole),
        cmocka_unit_test(test_answers_come_in_any_order),
        cmocka_unit_test(test_room_is_what_the_peer_allows_less_what_is_open),
        cmocka_unit_test(test_room_is_none_when_less_is_allowed_than_is_open),
        cmocka_unit_test(test_requests_within_room_do_not_wait),
        cmocka_unit_test(test_requests_that_lost_their_room_do_not_wait),
        cmocka_unit_test(test_response_of_any_status_is_told),
        cmocka_unit_test(test_response_without_a_body_is_told),
        cmocka_unit_test(test_type_is_that_of_a_message_or_not),
        cmocka_unit_test(test_age_is_a_number_of_seconds_or_none),
        cmocka_unit_test(test_retry_after_is_seconds_or_a_date),
        cmocka_unit_test(test_interim_responses_are_skipped),
        cmocka_unit_test(test_trailers_are_skipped),
        cmocka_unit_test(test_body_has_the_size_of_a_message_or_is_reset),
        cmocka_unit_test(test_body_that_is_too_long_at_its_end_fails),
        cmocka_unit_test(test_windows_are_opened_again),
    };
    return cmocka_run_group_tests_name("http/client_session", tests, nullptr, nullptr);
}
