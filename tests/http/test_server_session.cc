// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HTTP/2 with a client that keeps to the rules: questions, answers, statuses, and the end.

#include "http/client.hh"
#include "http/frames.hh"

#include <array>

using namespace dotproxy::http;
using namespace dotproxy::http::test;

namespace {

using State = Server::State;
using Answered = Server::Answered;

const std::string dns_message = "application/dns-message";
const std::string plain_text = "text/plain; charset=utf-8";

void answer_all(Pair& pair, std::string_view message, std::uint32_t max_age = 0) {
    Request request;
    while (pair.server.next_request(request)) {
        assert_int_equal(pair.server.respond(request.stream, octets_of(message), max_age),
                         Answered::queued);
    }
    pair.client.talk();
}

// E53, E54, E59
void test_get_is_answered(void** /*state*/) {
    Pair pair;
    const auto id = pair.client.get();
    pair.client.talk();
    assert_true(pair.server.has_request());
    assert_false(pair.server.wants_input()); // E51: what was read is taken first
    const Request request = pair.take();
    assert_true(text_of(request.message) == "foobar");
    assert_int_equal(pair.server.asked(), 1);
    assert_false(pair.server.idle());
    assert_int_equal(pair.server.respond(request.stream, octets_of("answer"), 299),
                     Answered::queued);
    assert_int_equal(pair.server.asked(), 0);
    assert_int_equal(pair.server.held(), 6);
    pair.client.talk();
    const Reply& reply = pair.client.reply(id);
    assert_int_equal(reply.status, 200);
    assert_true(reply.body == "answer");
    assert_true(reply.fields.at("content-type") == dns_message);
    assert_true(reply.fields.at("content-length") == "6");
    assert_true(reply.fields.at("cache-control") == "max-age=299");
    assert_int_equal(reply.fields.at("date").size(), 29);
    assert_int_equal(reply.fields.count("server"), 0);
    assert_int_equal(reply.fields.count("access-control-allow-origin"), 0);
    assert_true(reply.closed && reply.error == NGHTTP2_NO_ERROR);
    assert_true(pair.server.idle() && pair.server.wants_input());
}

// E55
void test_post_is_answered(void** /*state*/) {
    Pair pair;
    const auto id = pair.client.post("question");
    pair.client.talk();
    assert_true(text_of(pair.take().message) == "question");
    assert_int_equal(pair.server.respond(static_cast<std::uint32_t>(id), octets_of("answer"), 0),
                     Answered::queued);
    pair.client.talk();
    assert_true(pair.client.reply(id).body == "answer");
    assert_true(pair.client.reply(id).fields.at("cache-control") == "max-age=0");
}

// E56
void test_head_gets_no_body(void** /*state*/) {
    Pair pair;
    const auto id = pair.client.request("HEAD", "/dns-query?dns=Zm9vYmFy");
    pair.client.talk();
    answer_all(pair, "answer", 7);
    const Reply& reply = pair.client.reply(id);
    assert_int_equal(reply.status, 200);
    assert_true(reply.body.empty() && reply.closed);
    assert_true(reply.fields.at("content-length") == "6");
    assert_true(reply.fields.at("cache-control") == "max-age=7");
    assert_true(pair.server.idle());
}

// E56
void test_web_pages_may_ask_where_it_is_allowed(void** /*state*/) {
    Pair pair{{.path = "/dns-query", .cors = true, .forwarded = false}};
    const auto options = pair.client.request("OPTIONS", "/dns-query");
    const auto get = pair.client.get();
    const auto put = pair.client.request("PUT", "/dns-query");
    pair.client.talk();
    answer_all(pair, "answer");
    const Reply& allowed = pair.client.reply(options);
    assert_int_equal(allowed.status, 204);
    assert_true(allowed.body.empty() && allowed.closed);
    assert_true(allowed.fields.at("access-control-allow-origin") == "*");
    assert_true(allowed.fields.at("access-control-allow-methods") == "GET, POST");
    assert_true(allowed.fields.at("access-control-allow-headers") == "content-type");
    assert_true(allowed.fields.at("access-control-max-age") == "86400");
    assert_true(pair.client.reply(get).fields.at("access-control-allow-origin") == "*");
    assert_true(pair.client.reply(put).fields.at("allow") == "GET, HEAD, POST, OPTIONS");
}

// E58
void test_each_refusal_says_why(void** /*state*/) {
    Pair pair;
    std::map<std::int32_t, int> expected;
    expected[pair.client.get("/dns-query?dns=!")] = 400;
    expected[pair.client.get("/other")] = 404;
    expected[pair.client.request("DELETE", "/dns-query")] = 405;
    expected[pair.client.request("OPTIONS", "/dns-query")] = 405;
    expected[pair.client.post(std::string(70000, 'x'))] = 413;
    expected[pair.client.get("/dns-query?dns=" + std::string(6200, 'A'))] = 414;
    expected[pair.client.request("POST", "/dns-query", {}, "question")] = 415;
    expected[pair.client.request("GET", "/dns-query", {{"cookie", std::string(9000, 'x')}})] = 431;
    expected[pair.client.request("BREW", "/dns-query")] = 501;
    pair.client.talk();
    assert_false(pair.server.has_request());
    for (const auto& [id, status] : expected) {
        const Reply& reply = pair.client.reply(id);
        assert_int_equal(reply.status, status);
        assert_true(reply.fields.at("content-type") == plain_text);
        assert_true(reply.fields.at("content-length") == std::to_string(reply.body.size()));
        assert_int_equal(std::count(reply.body.begin(), reply.body.end(), '\n'), 1);
        assert_true(reply.body.ends_with('\n'));
        assert_int_equal(reply.fields.count("cache-control"), 0);
        assert_int_equal(reply.fields.count("allow"), status == 405 ? 1 : 0);
        assert_true(reply.closed);
    }
    assert_true(pair.server.state() == State::open && pair.server.idle());
}

// E58: what its owner finds wrong, such as what is no DNS message, or who asks.
void test_fail_answers_with_a_status(void** /*state*/) {
    Pair pair;
    const auto bad = pair.client.get();
    const auto forbidden = pair.client.request("HEAD", "/dns-query?dns=Zm9vYmFy");
    pair.client.talk();
    assert_int_equal(pair.server.fail(pair.take().stream, Status::bad_request), Answered::queued);
    assert_int_equal(pair.server.fail(pair.take().stream, Status::forbidden), Answered::queued);
    pair.client.talk();
    assert_int_equal(pair.client.reply(bad).status, 400);
    assert_true(pair.client.reply(bad).body == explanation(Status::bad_request));
    assert_int_equal(pair.client.reply(forbidden).status, 403);
    assert_true(pair.client.reply(forbidden).body.empty());
}

// E58: who is answered before all of the request has come may send the rest, and need not.
void test_early_answer_leaves_the_rest_to_the_client(void** /*state*/) {
    Pair pair;
    const auto id = pair.client.request("POST", "/dns-query", {}, "a part", false);
    pair.client.talk();
    const Reply& reply = pair.client.reply(id);
    assert_int_equal(reply.status, 415);
    assert_true(!reply.body.empty() && !reply.closed);
    pair.client.add(id, " and the rest", true);
    pair.client.talk();
    assert_true(reply.closed);
    assert_int_equal(reply.error, NGHTTP2_NO_ERROR);
    assert_int_equal(pair.server.streams(), 0);
}

// RFC 9110, section 10.1.1
void test_who_waits_for_a_word_gets_one(void** /*state*/) {
    Pair pair;
    const auto id = pair.client.post("", false, {{"expect", "100-continue"}});
    pair.client.talk();
    assert_int_equal(pair.client.reply(id).status, 100);
    pair.client.add(id, "question", true);
    pair.client.talk();
    answer_all(pair, "answer");
    assert_int_equal(pair.client.reply(id).interim, 100);
    assert_int_equal(pair.client.reply(id).status, 200);
}

// E49, E64: in whatever order they become whole, and are answered.
void test_requests_may_be_interleaved(void** /*state*/) {
    Pair pair;
    const auto one = pair.client.post("first ", false);
    const auto two = pair.client.post("second ", false);
    const auto three = pair.client.get();
    pair.client.talk();
    pair.client.add(one, "half", false);
    pair.client.add(two, "half", true);
    pair.client.talk();
    pair.client.add(one, " and half", true);
    pair.client.talk();
    const Request get = pair.take();
    assert_int_equal(get.stream, three);
    const Request second = pair.take();
    assert_true(text_of(second.message) == "second half");
    const Request first = pair.take();
    assert_true(text_of(first.message) == "first half and half");
    assert_int_equal(pair.server.asked(), 3);
    for (const std::uint32_t stream : {first.stream, get.stream, second.stream}) {
        pair.server.respond(stream, octets_of(std::to_string(stream)), 0);
    }
    pair.client.talk();
    for (const auto id : {one, two, three}) {
        assert_true(pair.client.reply(id).body == std::to_string(id));
    }
}

// G1's like: it does not matter how what is read is cut.
void test_one_octet_at_a_time_is_the_same(void** /*state*/) {
    Pair pair;
    const auto post = pair.client.post("question");
    const auto get = pair.client.get();
    for (const char octet : pair.client.sent()) {
        assert_int_equal(pair.server.feed(octets_of({&octet, 1})), State::open);
        pair.client.hear();
    }
    answer_all(pair, "answer");
    assert_true(pair.client.reply(post).body == "answer");
    assert_true(pair.client.reply(get).body == "answer");
}

// E73
void test_forwarded_for_comes_with_the_request(void** /*state*/) {
    Pair pair{{.path = "/dns-query", .cors = false, .forwarded = true}};
    pair.client.request("GET", "/dns-query?dns=Zm8",
                        {{"x-forwarded-for", "192.0.2.1"}, {"x-forwarded-for", "192.0.2.2"}});
    pair.client.request("GET", "/dns-query?dns=Zm8",
                        {{"x-forwarded-for", std::string(Question::forwarded_limit + 1, '1')}});
    pair.client.get();
    pair.client.talk();
    assert_true(pair.take().forwarded_for == "192.0.2.1, 192.0.2.2");
    assert_true(pair.take().forwarded_too_long);
    const Request none = pair.take();
    assert_true(none.forwarded_for.empty() && !none.forwarded_too_long);
}

// E42
void test_settings_are_told_first(void** /*state*/) {
    Pair pair{{}, 30};
    nghttp2_session* client = pair.client.session();
    const auto setting = [client](nghttp2_settings_id id) {
        return nghttp2_session_get_remote_settings(client, id);
    };
    assert_int_equal(setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), 30);
    assert_int_equal(setting(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE), 8192);
    assert_int_equal(setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE), 65535);
    Pair most{{}, 1000};
    assert_int_equal(nghttp2_session_get_remote_settings(most.client.session(),
                                                         NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS),
                     100);
}

// E42: as they go over the wire, before anything else.
void test_settings_are_three(void** /*state*/) {
    ServerContext context{Pair::memory};
    const Service service;
    ServerSession server{context, service};
    server.fill();
    const std::vector<Seen> said = frames_of(text_of(server.output().view()));
    assert_int_equal(said.size(), 1);
    assert_int_equal(said[0].type, NGHTTP2_SETTINGS);
    assert_true(said[0].payload ==
                big_endian(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2) + big_endian(100, 4) +
                    big_endian(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 2) + big_endian(8192, 4) +
                    big_endian(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 2) + big_endian(1, 4));
}

// E53: what is different in each answer takes no place in the table of what was said before.
void test_fields_that_change_are_never_indexed(void** /*state*/) {
    Pair pair;
    for (int i = 0; i < 2; ++i) {
        pair.client.get();
        pair.server.feed(octets_of(pair.client.sent()));
        pair.server.respond(pair.take().stream, octets_of("answer"), 60);
        pair.server.fill();
        const std::string said = text_of(pair.server.output().view());
        // RFC 7541, section 6.2.3, with the names' places in the static table: 28, 24 and 33.
        for (const std::string_view name : {"\x1f\x0d", "\x1f\x09", "\x1f\x12"}) {
            assert_true(frames_of(said)[0].payload.find(name) != std::string::npos);
        }
        pair.client.hear();
    }
}

void test_cancel_resets_the_stream(void** /*state*/) {
    Pair pair;
    const auto id = pair.client.get();
    pair.client.talk();
    const Request request = pair.take();
    pair.server.cancel(request.stream);
    pair.server.cancel(request.stream); // again: nothing is left to cancel
    pair.client.talk();
    assert_true(pair.client.reply(id).closed);
    assert_int_equal(pair.client.reply(id).error, NGHTTP2_INTERNAL_ERROR);
    assert_true(pair.server.idle());
    assert_int_equal(pair.server.asked(), 0);
    assert_int_equal(pair.server.respond(request.stream, octets_of("late"), 0), Answered::gone);
}

// E62
void test_drain_answers_what_was_asked_before_the_client_knew(void** /*state*/) {
    Pair pair;
    const auto before = pair.client.get();
    pair.client.talk();
    const Request first = pair.take();
    const auto meanwhile = pair.client.get();
    const std::string on_its_way = pair.client.sent();
    pair.server.drain();
    pair.server.drain(); // says no more
    pair.server.feed(octets_of(on_its_way));
    pair.client.hear();
    assert_int_equal(pair.client.last_ids.size(), 1);
    assert_int_equal(pair.client.last_ids.at(0), 0x7fffffff);
    const Request second = pair.take();
    pair.client.talk(); // the client says that it knows
    assert_int_equal(pair.client.last_ids.size(), 2);
    assert_int_equal(pair.client.last_ids.at(1), meanwhile);
    assert_int_equal(pair.client.goodbye, NGHTTP2_NO_ERROR);
    assert_int_equal(pair.server.state(), State::open);
    pair.server.respond(second.stream, octets_of("second"), 0);
    pair.server.respond(first.stream, octets_of("first"), 0);
    pair.client.talk();
    assert_true(pair.client.reply(before).body == "first");
    assert_true(pair.client.reply(meanwhile).body == "second");
    assert_int_equal(pair.server.state(), State::ending);
    assert_true(pair.server.reason().empty());
}

// E62: a client that says nothing.
void test_last_call_does_not_wait_for_the_client(void** /*state*/) {
    Pair pair;
    const auto id = pair.client.get();
    pair.client.talk();
    const Request request = pair.take();
    pair.server.drain();
    pair.client.hear();
    pair.server.last_call();
    pair.client.hear();
    assert_int_equal(pair.client.last_ids.size(), 2);
    assert_int_equal(pair.client.last_ids.at(1), id);
    pair.client.talk(); // it confirms after all
    assert_int_equal(pair.client.last_ids.size(), 2);
    pair.server.respond(request.stream, octets_of("answer"), 0);
    pair.client.talk();
    assert_true(pair.client.reply(id).body == "answer");
    assert_int_equal(pair.server.state(), State::ending);
}

// E62: who has nothing under way.
void test_drain_of_an_idle_client_ends_when_it_knows(void** /*state*/) {
    Pair pair;
    pair.server.drain();
    assert_int_equal(pair.server.state(), State::open);
    pair.client.talk();
    pair.client.talk();
    assert_int_equal(pair.server.state(), State::ending);
    assert_int_equal(pair.client.goodbye, NGHTTP2_NO_ERROR);
}

// E41, E62: and what is fed or answered afterwards does nothing.
void test_terminate_says_goodbye_and_no_more(void** /*state*/) {
    Pair pair;
    pair.client.get();
    pair.client.talk();
    const Request request = pair.take();
    pair.client.get();
    const std::string late = pair.client.sent();
    pair.server.terminate();
    assert_int_equal(pair.server.state(), State::ending);
    assert_int_equal(pair.server.feed(octets_of(late)), State::ending);
    assert_false(pair.server.wants_input() || pair.server.has_request());
    assert_int_equal(pair.server.respond(request.stream, octets_of("late"), 0), Answered::gone);
    assert_int_equal(pair.server.asked(), 0);
    pair.client.hear();
    assert_int_equal(pair.client.last_ids.size(), 1);
    assert_int_equal(pair.client.goodbye, NGHTTP2_NO_ERROR);
    pair.server.drain();
    pair.server.last_call();
    pair.server.terminate();
    assert_int_equal(pair.server.fill(), State::ending);
    assert_int_equal(pair.server.output().size(), 0);
}

// The client says that it will go; it gets what it has asked.
void test_goaway_of_the_client_is_honoured(void** /*state*/) {
    Pair pair;
    const auto id = pair.client.get();
    pair.client.talk();
    nghttp2_submit_goaway(pair.client.session(), 0, 0, NGHTTP2_NO_ERROR, nullptr, 0);
    pair.client.talk();
    assert_int_equal(pair.server.state(), State::open);
    answer_all(pair, "answer");
    assert_true(pair.client.reply(id).body == "answer");
    assert_int_equal(pair.server.state(), State::ending);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_get_is_answered),
        cmocka_unit_test(test_post_is_answered),
        cmocka_unit_test(test_head_gets_no_body),
        cmocka_unit_test(test_web_pages_may_ask_where_it_is_allowed),
        cmocka_unit_test(test_each_refusal_says_why),
        cmocka_unit_test(test_fail_answers_with_a_status),
        cmocka_unit_test(test_early_answer_leaves_the_rest_to_the_client),
        cmocka_unit_test(test_who_waits_for_a_word_gets_one),
        cmocka_unit_test(test_requests_may_be_interleaved),
        cmocka_unit_test(test_one_octet_at_a_time_is_the_same),
        cmocka_unit_test(test_forwarded_for_comes_with_the_request),
        cmocka_unit_test(test_settings_are_told_first),
        cmocka_unit_test(test_settings_are_three),
        cmocka_unit_test(test_fields_that_change_are_never_indexed),
        cmocka_unit_test(test_cancel_resets_the_stream),
        cmocka_unit_test(test_drain_answers_what_was_asked_before_the_client_knew),
        cmocka_unit_test(test_last_call_does_not_wait_for_the_client),
        cmocka_unit_test(test_drain_of_an_idle_client_ends_when_it_knows),
        cmocka_unit_test(test_terminate_says_goodbye_and_no_more),
        cmocka_unit_test(test_goaway_of_the_client_is_honoured),
    };
    return cmocka_run_group_tests_name("http/server_session", tests, nullptr, nullptr);
}
