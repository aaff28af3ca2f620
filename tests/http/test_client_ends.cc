// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HTTP/2 with an upstream: requests that end without a response, by its doing or ours, and
// connections that it ends.

#include "http/upstream_peer.hh"

#include <array>
#include <set>

using namespace dotproxy::http;
using namespace dotproxy::http::test;

namespace {

using Kind = Event::Kind;

constexpr std::size_t unlimited = 0xffffffff;

/// A connection with so many requests open, tags 0 and up on streams 1 and up.
std::unique_ptr<Caller> with_open(std::uint16_t count, const std::string& greeting = settings()) {
    auto caller = Caller::greeted(greeting);
    for (std::uint16_t tag = 0; tag < count; ++tag) {
        caller->ask(tag, "question");
    }
    static_cast<void>(caller->said());
    return caller;
}

void assert_kinds(const std::vector<Told>& told, const std::vector<Kind>& kinds) {
    assert_int_equal(told.size(), kinds.size());
    for (std::size_t i = 0; i < told.size(); ++i) {
        assert_int_equal(told[i].kind, kinds[i]);
    }
}

/// Nothing is open, and nothing is held.
void assert_idle(Caller& caller, std::size_t room = unlimited) {
    static_cast<void>(caller.said());
    assert_int_equal(caller.session.waiting(), 0);
    assert_int_equal(caller.session.room(), room);
    assert_true(caller.told().empty());
    assert_true(caller.session.is_sound());
}

// E84: only what the peer says that it has not looked at is not counted.
void test_reset_is_refused_or_failed(void** /*state*/) {
    for (std::uint32_t error = 0; error < 20; ++error) {
        const auto caller = with_open(2);
        caller->feed(rst(1, error));
        const std::vector<Told> told = caller->told();
        assert_kinds(told, {error == NGHTTP2_REFUSED_STREAM ? Kind::refused : Kind::failed});
        assert_int_equal(told[0].tag, 0);
        caller->feed(reply(3, "answer")); // the other one is not harmed
        assert_kinds(caller->told(), {Kind::response});
        assert_idle(*caller);
    }
}

void test_reset_in_the_middle_of_a_response_fails(void** /*state*/) {
    const auto caller = with_open(1);
    caller->feed(reply_head(1, "200", message_type) + data(1, "ans") + rst(1, NGHTTP2_NO_ERROR));
    assert_kinds(caller->told(), {Kind::failed});
    assert_idle(*caller);
}

// RFC 9113, section 8.1.1: malformed responses are errors of the stream alone.
void test_malformed_response_fails(void** /*state*/) {
    const std::array responses{
        frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, message_type),
        reply_head(1, "20", message_type, true),
        reply_head(1, "abc", message_type, true),
        reply_head(1, "200", literal(":status", "200"), true),
        reply_head(1, "200", literal("Upper", "x"), true),
        reply_head(1, "200", literal("connection", "close"), true),
        reply_head(1, "200", literal("content-length", "7")) + data(1, "answer", true),
        reply_head(1, "200", literal("content-length", "5")) + data(1, "answer", true),
        reply_head(1, "200", literal("content-length", "1"), true),
        reply_head(1, "100", "", true),
        reply_head(1, "101", "", true),
        reply_head(1, "200") + reply_head(1, "200"), // trailers that end nothing
    };
    for (const std::string& one : responses) {
        const auto caller = with_open(2);
        caller->feed(one);
        const std::vector<Told> told = caller->told();
        assert_kinds(told, {Kind::failed});
        assert_int_equal(told[0].tag, 0);
        caller->feed(reply(3, "answer"));
        assert_kinds(caller->told(), {Kind::response});
        assert_idle(*caller);
    }
}

// RFC 9113, section 8.1: whoever answers before it has read the request need not read it any more.
void test_response_before_the_request_is_out_is_taken(void** /*state*/) {
    const auto caller = with_open(1, first_window(0));
    assert_int_equal(caller->session.waiting(), 8);
    assert_int_equal(caller->session.room(), unlimited - 1);
    caller->feed(reply_head(1, "413") + data(1, "too large", true));
    const std::vector<Told> told = caller->told();
    assert_kinds(told, {Kind::response});
    assert_int_equal(told[0].status, 413);
    const std::vector<Seen> resets = caller->said(NGHTTP2_RST_STREAM);
    assert_int_equal(resets.size(), 1);
    assert_int_equal(resets[0].error(), NGHTTP2_CANCEL);
    assert_idle(*caller);
}

void test_window_of_the_peer_holds_messages_back(void** /*state*/) {
    const auto caller = with_open(3, first_window(5));
    assert_int_equal(caller->session.waiting(), 3 * 3);
    caller->feed(window(3, 100));
    const std::vector<Seen> said = caller->said(NGHTTP2_DATA);
    assert_int_equal(said.size(), 1);
    assert_true(said[0].stream == 3 && said[0].payload == "ion");
    assert_true((said[0].flags & NGHTTP2_FLAG_END_STREAM) != 0);
    assert_int_equal(caller->session.waiting(), 2 * 3);
    caller->feed(rst(1) + reply(3, "answer"));
    assert_int_equal(caller->session.waiting(), 3);
    caller->session.cancel(2);
    assert_kinds(caller->told(), {Kind::failed, Kind::response});
    assert_idle(*caller);
}

// E85
void test_goaway_lets_what_is_open_be_answered(void** /*state*/) {
    const auto caller = with_open(4);
    caller->feed(goaway(0x7fffffff));
    assert_kinds(caller->told(), {Kind::leaving});
    assert_int_equal(caller->session.room(), 0);
    assert_true(caller->session.is_sound());
    caller->feed(reply(5, "c") + goaway(3)); // RFC 9113, section 6.8: now it means it
    const std::vector<Told> told = caller->told();
    assert_kinds(told, {Kind::response, Kind::refused});
    assert_int_equal(told[1].tag, 3);
    caller->feed(reply(1, "a") + reply(3, "b"));
    assert_kinds(caller->told(), {Kind::response, Kind::response});
    assert_true(caller->session.reason().empty());
    assert_idle(*caller, 0);
}

// E84, E85: what it has not looked at is told after that it leaves, so that nothing is asked there.
void test_goaway_refuses_what_is_above_its_last_stream(void** /*state*/) {
    const auto caller = with_open(4);
    caller->feed(goaway(3));
    const std::vector<Told> told = caller->told();
    assert_kinds(told, {Kind::leaving, Kind::refused, Kind::refused});
    assert_true((std::set{told[1].tag, told[2].tag} == std::set<std::uint16_t>{2, 3}));
    caller->feed(rst(1, NGHTTP2_REFUSED_STREAM) + reply(3, "answer"));
    assert_kinds(caller->told(), {Kind::refused, Kind::response});
    assert_idle(*caller, 0);
}

// E85: why it ends all comes last, when the owner knows what has become of each request.
void test_goaway_with_an_error_says_so_last(void** /*state*/) {
    const std::array<std::pair<std::uint32_t, Kind>, 3> errors{{
        {NGHTTP2_ENHANCE_YOUR_CALM, Kind::throttled},
        {NGHTTP2_INADEQUATE_SECURITY, Kind::expelled},
        {NGHTTP2_HTTP_1_1_REQUIRED, Kind::expelled},
    }};
    for (const auto& [error, kind] : errors) {
        const auto caller = with_open(3);
        caller->feed(goaway(1, error) + reply(1, "answer"));
        assert_kinds(caller->told(),
                     {Kind::leaving, Kind::refused, Kind::refused, Kind::response, kind});
        assert_string_equal(std::string{caller->session.reason()}.c_str(),
                            nghttp2_http2_strerror(error));
        assert_idle(*caller, 0);
    }
}

void test_goaway_with_another_error_is_a_leave(void** /*state*/) {
    for (const std::uint32_t error : {std::uint32_t{NGHTTP2_PROTOCOL_ERROR},
                                      std::uint32_t{NGHTTP2_INTERNAL_ERROR}, 0xffffffffU}) {
        const auto caller = with_open(1);
        caller->feed(goaway(0, error));
        assert_kinds(caller->told(), {Kind::leaving, Kind::refused});
        assert_false(caller->session.reason().empty());
        assert_idle(*caller, 0);
    }
}

// E84: asked in the turn in which the peer leaves: it has not seen them, so they are told as such.
void test_goaway_refuses_what_was_not_written(void** /*state*/) {
    const auto caller = with_open(1);
    caller->ask(1, "question");
    caller->ask(2, "question");
    assert_int_equal(caller->session.waiting(), 16);
    caller->feed(goaway(1));
    const std::vector<Told> told = caller->told();
    assert_kinds(told, {Kind::leaving, Kind::refused, Kind::refused});
    assert_int_equal(told[1].tag, 1);
    assert_int_equal(told[2].tag, 2);
    caller->feed(reply(1, "answer"));
    assert_kinds(caller->told(), {Kind::response});
    assert_idle(*caller, 0);
}

// E82
void test_peer_that_takes_no_streams_leaves(void** /*state*/) {
    const auto caller = with_open(2);
    caller->feed(most_streams(0));
    assert_kinds(caller->told(), {Kind::leaving});
    assert_int_equal(caller->session.room(), 0);
    assert_false(caller->session.reason().empty());
    caller->feed(reply(1, "a") + most_streams(100) + reply(3, "b")); // what is said is said
    assert_kinds(caller->told(), {Kind::response, Kind::response});
    assert_idle(*caller, 0);
}

void test_cancel_before_it_is_written_sends_nothing(void** /*state*/) {
    const auto caller = with_open(0);
    caller->ask(0, "question");
    caller->ask(1, "another");
    caller->session.cancel(0);
    const std::vector<Seen> said = caller->said();
    assert_int_equal(said.size(), 2); // HEADERS and DATA
    assert_int_equal(said[1].type, NGHTTP2_DATA);
    assert_true(said[1].payload == "another");
    assert_int_equal(caller->session.room(), unlimited - 1);
    caller->feed(reply(said[1].stream, "answer"));
    const std::vector<Told> told = caller->told();
    assert_kinds(told, {Kind::response});
    assert_int_equal(told[0].tag, 1);
    caller->session.cancel(0); // there is nothing any more
    caller->session.cancel(9); // and never was
    assert_idle(*caller);
}

void test_cancel_resets_what_was_written(void** /*state*/) {
    const auto caller = with_open(2);
    caller->session.cancel(0);
    const std::vector<Seen> said = caller->said();
    assert_int_equal(said.size(), 1);
    assert_true(said[0].type == NGHTTP2_RST_STREAM && said[0].stream == 1);
    assert_int_equal(said[0].error(), NGHTTP2_CANCEL);
    assert_int_equal(caller->session.room(), unlimited - 1);
    caller->feed(reply(1, "late") + rst(1) + window(1, 100)); // all of which may have crossed it
    assert_true(caller->told().empty());
    caller->feed(reply(3, "answer"));
    assert_kinds(caller->told(), {Kind::response});
    assert_idle(*caller);
}

// Its tag is free at once: what still comes for the old stream is not taken for the new one.
void test_cancel_frees_the_tag_at_once(void** /*state*/) {
    const auto caller = with_open(1);
    caller->feed(reply_head(1, "500", literal("age", "9")) + data(1, "begun"));
    caller->session.cancel(0);
    caller->ask(0, "other");
    assert_int_equal(caller->session.waiting(), 5);
    caller->feed(data(1, "late") + data(1, "later", true)); // feeding writes
    assert_true(caller->told().empty());
    std::vector<Seen> said = caller->said();
    std::erase_if(said, [](const Seen& one) { return one.type == NGHTTP2_RST_STREAM; });
    assert_int_equal(said.size(), 2);
    assert_true(said[1].payload == "other" && said[1].stream == 3);
    caller->feed(reply(3, "answer"));
    const std::vector<Told> told = caller->told();
    assert_kinds(told, {Kind::response});
    assert_int_equal(told[0].status, 200);
    assert_true(told[0].octets == "answer" && told[0].age.count() == 0);
    assert_idle(*caller);
}

// The same while the peer's window holds the old message back: the new one is not sent in its name.
void test_cancel_with_a_message_held_back_frees_the_tag(void** /*state*/) {
    const auto caller = with_open(1, first_window(3));
    caller->session.cancel(0);
    assert_int_equal(caller->session.waiting(), 0);
    caller->ask(0, "other");
    caller->feed(window(1, 100));
    static_cast<void>(caller->told());
    std::string sent;
    for (const Seen& one : caller->said(NGHTTP2_DATA)) {
        assert_int_equal(one.stream, 3);
        sent += one.payload;
    }
    assert_string_equal(sent.c_str(), "oth");
    caller->feed(window(3, 100));
    assert_true(caller->said(NGHTTP2_DATA).at(0).payload == "er");
    caller->feed(reply(3, "answer"));
    assert_kinds(caller->told(), {Kind::response});
    assert_idle(*caller);
}

// Whoever takes one event may cancel what the next one would be about.
void test_cancel_while_its_response_waits_to_be_told(void** /*state*/) {
    const auto caller = with_open(2);
    caller->feed(reply(1, "first") + reply(3, "second"));
    Event event;
    assert_true(caller->session.next(event));
    assert_int_equal(event.tag, 0);
    caller->session.cancel(1);
    assert_false(caller->session.next(event));
    assert_idle(*caller);
}

// The same for its tag, which is free at once: what was to be told of the old request is not told
// of the new one.
void test_cancel_frees_the_tag_of_what_waits_to_be_told(void** /*state*/) {
    const auto caller = with_open(2);
    caller->feed(reply(1, "first") + reply(3, "second"));
    Event event;
    assert_true(caller->session.next(event));
    assert_int_equal(event.tag, 0);
    caller->session.cancel(1);
    caller->ask(1, "other");
    assert_false(caller->session.next(event));
    static_cast<void>(caller->said());
    caller->feed(reply(5, "third"));
    const std::vector<Told> told = caller->told();
    assert_kinds(told, {Kind::response});
    assert_string_equal(told[0].octets.c_str(), "third");
}

void test_ping_is_answered_either_way(void** /*state*/) {
    const auto caller = with_open(0);
    caller->session.ping();
    caller->session.ping();
    const std::vector<Seen> pings = caller->said(NGHTTP2_PING);
    assert_int_equal(pings.size(), 2);
    assert_int_equal(pings[0].flags, 0);
    caller->feed(frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, pings[0].payload));
    assert_kinds(caller->told(), {Kind::pong});
    caller->feed(ping());
    assert_true(caller->told().empty()); // that it lives shows in what it sends
    const std::vector<Seen> answers = caller->said(NGHTTP2_PING);
    assert_int_equal(answers.size(), 1);
    assert_int_equal(answers[0].flags, NGHTTP2_FLAG_ACK);
    assert_true(answers[0].payload == "12345678");
    assert_idle(*caller);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_reset_is_refused_or_failed),
        cmocka_unit_test(test_reset_in_the_middle_of_a_response_fails),
        cmocka_unit_test(test_malformed_response_fails),
        cmocka_unit_test(test_response_before_the_request_is_out_is_taken),
        cmocka_unit_test(test_window_of_the_peer_holds_messages_back),
        cmocka_unit_test(test_goaway_lets_what_is_open_be_answered),
        cmocka_unit_test(test_goaway_refuses_what_is_above_its_last_stream),
        cmocka_unit_test(test_goaway_with_an_error_says_so_last),
        cmocka_unit_test(test_goaway_with_another_error_is_a_leave),
        cmocka_unit_test(test_goaway_refuses_what_was_not_written),
        cmocka_unit_test(test_peer_that_takes_no_streams_leaves),
        cmocka_unit_test(test_cancel_before_it_is_written_sends_nothing),
        cmocka_unit_test(test_cancel_resets_what_was_written),
        cmocka_unit_test(test_cancel_frees_the_tag_at_once),
        cmocka_unit_test(test_cancel_with_a_message_held_back_frees_the_tag),
        cmocka_unit_test(test_cancel_while_its_response_waits_to_be_told),
        cmocka_unit_test(test_cancel_frees_the_tag_of_what_waits_to_be_told),
        cmocka_unit_test(test_ping_is_answered_either_way),
    };
    return cmocka_run_group_tests_name("http/client_ends", tests, nullptr, nullptr);
}
