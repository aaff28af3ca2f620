// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HTTP/1.1, as proxies speak it to who stands behind them (E72), and what it is not.

#include "http/http1.hh"
#include "http/server_context.hh"

#include "unit.hh"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <vector>

using namespace dotproxy::http;

namespace {

using State = Server::State;
using Answered = Server::Answered;

std::span<const std::uint8_t> octets_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

struct Rig {
    explicit Rig(const Service& its_service = {}) : service{its_service} {}

    State feed(std::string_view text) { return server.feed(octets_of(text)); }

    // What was written since.
    std::string said() {
        server.fill();
        const auto view = server.output().view();
        std::string text{view.begin(), view.end()};
        server.output().clear();
        return text;
    }

    // The message of the next request, or "none".
    std::string take() {
        Request request;
        if (!server.next_request(request)) {
            return "none";
        }
        stream = request.stream;
        forwarded_for = request.forwarded_for;
        return {request.message.begin(), request.message.end()};
    }

    std::string answer(std::string_view message, std::uint32_t max_age = 0) {
        assert_int_equal(server.respond(stream, octets_of(message), max_age), Answered::queued);
        return said();
    }

    ServerContext context{1U << 20U};
    Service service;
    Http1 server{context, service};
    std::uint32_t stream{0};
    std::string forwarded_for;
};

const std::string get = "GET /dns-query?dns=Zm9vYmFy HTTP/1.1\r\nHost: dns.example\r\n\r\n";

std::string post(const std::string& body, const std::string& more = "") {
    return "POST /dns-query HTTP/1.1\r\nHost: dns.example\r\nContent-Type: "
           "application/dns-message\r\n" +
           more + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// The status of what was said, and that it is well-formed.
int status_of(const std::string& said) {
    assert_true(said.starts_with("HTTP/1.1 "));
    const auto end = said.find("\r\n\r\n");
    assert_true(end != std::string::npos);
    const auto length = said.find("content-length: ");
    if (length != std::string::npos) {
        assert_int_equal(std::stoul(said.substr(length + 16)), said.size() - end - 4);
    }
    return std::stoi(said.substr(9, 3));
}

bool has(const std::string& said, const char* what) {
    return said.find(what) != std::string::npos;
}

// Feeds it to a new connection; the status, and whether the connection goes on. 0: nothing is said.
std::pair<int, bool> fate(const std::string& request, const Service& service = {}) {
    Rig rig{service};
    rig.feed(request);
    if (rig.take() != "none") {
        return {200, rig.server.state() == State::open};
    }
    const std::string said = rig.said();
    return {said.empty() ? 0 : status_of(said), rig.server.state() == State::open};
}

void assert_fate(const std::string& request, int status, bool goes_on) {
    const auto [its_status, its_end] = fate(request);
    if (its_status != status || its_end != goes_on) {
        fail_msg("%d, %d: %s", its_status, its_end, request.substr(0, 200).c_str());
    }
}

// E53, E54, E59
void test_get_is_answered_and_the_connection_goes_on(void** /*state*/) {
    Rig rig;
    for (const std::uint32_t max_age : {299U, 0U}) {
        assert_int_equal(rig.feed(get), State::open);
        assert_true(rig.server.has_request());
        assert_true(rig.take() == "foobar");
        assert_int_equal(rig.server.asked(), 1);
        assert_false(rig.server.wants_input() || rig.server.idle());
        const std::string said = rig.answer("answer", max_age);
        assert_true(said.starts_with("HTTP/1.1 200 OK\r\n"));
        assert_int_equal(status_of(said), 200);
        assert_true(has(said, "\r\ncontent-type: application/dns-message\r\n"));
        assert_true(has(said, max_age > 0 ? "\r\ncache-control: max-age=299\r\n"
                                          : "\r\ncache-control: max-age=0\r\n"));
        assert_true(has(said, "\r\ndate: ") && has(said, " GMT\r\n"));
        assert_false(has(said, "connection:") || has(said, "server:"));
        assert_true(said.ends_with("\r\n\r\nanswer"));
        assert_true(rig.server.idle() && rig.server.wants_input());
        assert_int_equal(rig.server.asked(), 0);
    }
}

// E55
void test_post_is_answered(void** /*state*/) {
    Rig rig;
    rig.feed(post("question"));
    assert_true(rig.take() == "question");
    assert_int_equal(status_of(rig.answer("answer")), 200);
    assert_fate(post(""), 400, true);
    assert_fate(post(std::string(65535, 'x')), 200, true);
}

// E56
void test_head_gets_no_body(void** /*state*/) {
    Rig rig;
    rig.feed("HEAD" + get.substr(3));
    assert_true(rig.take() == "foobar");
    const std::string said = rig.answer("answer");
    assert_true(has(said, "\r\ncontent-length: 6\r\n") && said.ends_with("\r\n\r\n"));
    rig.feed("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string refused = rig.said();
    assert_true(refused.starts_with("HTTP/1.1 404 ") && refused.ends_with("\r\n\r\n"));
}

// E56
void test_web_pages_may_ask_where_it_is_allowed(void** /*state*/) {
    Rig rig{{.path = "/dns-query", .cors = true, .forwarded = false}};
    rig.feed("OPTIONS /dns-query HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string said = rig.said();
    assert_true(said.starts_with("HTTP/1.1 204 No Content\r\n") && said.ends_with("\r\n\r\n"));
    assert_true(has(said, "access-control-allow-methods: GET, POST\r\n"));
    assert_false(has(said, "content-length"));
    assert_int_equal(rig.server.state(), State::open);
}

// E58: what is wrong with the question leaves the connection as it is.
void test_refusals_leave_the_connection_open(void** /*state*/) {
    assert_fate("GET /dns-query HTTP/1.1\r\nHost: x\r\n\r\n", 400, true);
    assert_fate("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404, true);
    assert_fate("PUT /dns-query HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405, true);
    assert_fate("BREW /dns-query HTTP/1.1\r\nHost: x\r\n\r\n", 501, true);
    assert_fate("POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 415, true);
    assert_fate("GET /dns-query?dns=" + std::string(6200, 'A') + " HTTP/1.1\r\nHost: x\r\n\r\n",
                414, true);
    std::string many;
    for (int i = 0; i < 64; ++i) {
        many += "a: b\r\n";
    }
    assert_fate(get.substr(0, get.size() - 2) + many + "\r\n", 431, true);
    assert_fate(get.substr(0, get.size() - 2) + many.substr(6) + "\r\n", 200, true);
    Rig rig;
    rig.feed("DELETE /dns-query HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string said = rig.said();
    assert_true(has(said, "\r\nallow: GET, HEAD, POST\r\n"));
    assert_true(has(said, "\r\ncontent-type: text/plain; charset=utf-8\r\n") &&
                said.ends_with('\n'));
    rig.feed(get);
    assert_true(rig.take() == "foobar");
    assert_int_equal(rig.server.fail(rig.stream, Status::forbidden), Answered::queued);
    assert_int_equal(status_of(rig.said()), 403);
}

// E72: where the next request begins would be a guess.
void test_unclear_lengths_end_the_connection(void** /*state*/) {
    const std::string body = "question";
    assert_fate(post(body, "Content-Length: 8\r\n"), 400, false); // twice the same
    assert_fate(post(body, "Content-Length: 9\r\n"), 400, false);
    assert_fate(post(body, "content-LENGTH: 8\r\n"), 400, false);
    assert_fate(post(body, "Transfer-Encoding: chunked\r\n"), 400, false); // both kinds
    assert_fate(post(body, "Transfer-Encoding: identity\r\n"), 400, false);
    const std::string head =
        "POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: application/dns-message\r\n";
    assert_fate(head + "Transfer-Encoding: chunked\r\n\r\n8\r\nquestion\r\n0\r\n\r\n", 411, false);
    assert_fate(head + "transfer-encoding:\tgzip, chunked\r\n\r\n", 411, false);
    for (const char* length :
         {"", "+8", "-8", "8x", "0x8", "8, 8", "8;", "1e1", "8 8", "99999999999999999999999"}) {
        assert_fate(head + "Content-Length: " + length + "\r\n\r\nquestion", 400, false);
    }
    // What can be read to its end is, so that its client sees the answer.
    assert_fate(head + "Content-Length: 65536\r\n\r\n" + std::string(65536, 'x'), 413, true);
    assert_fate(head + "Content-Length: 1048577\r\n\r\n", 413, false);
    assert_fate(head + "Content-Length: 9999999999999999999\r\n\r\n", 413, false);
    assert_fate(head + "Content-Length: 008\r\n\r\nquestion", 200, true);
}

// E72, RFC 9112: what a proxy and we might read in two ways.
void test_unclear_heads_end_the_connection(void** /*state*/) {
    const std::string target = "/dns-query?dns=Zm9vYmFy";
    const auto line = [](const std::string& one) { return one + "\r\nHost: x\r\n\r\n"; };
    for (const std::string& one : {
             std::string{"GET"},
             std::string{"GET "} + target,
             "GET  " + target + " HTTP/1.1",
             "GET " + target + "  HTTP/1.1",
             "GET " + target + " HTTP/1.1 ",
             " GET " + target + " HTTP/1.1",
             "GET\t" + target + " HTTP/1.1",
             "GE(T " + target + " HTTP/1.1",
             "GET " + target + " http/1.1",
             "GET " + target + "\x7f HTTP/1.1",
             "GET " + target + "\xc3\xa4 HTTP/1.1",
             "GET " + target + " HTTP/1.1\n",
             "GET " + target + " HTTP/1.1\r",
             std::string("GET \0 HTTP/1.1", 14),
         }) {
        assert_fate(line(one), 400, false);
    }
    for (const char* version :
         {"HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/1.10", "HTTP/", "HTTP/11"}) {
        assert_fate(line("GET " + target + " " + version), 505, false);
    }
    const auto field = [](const std::string& one) {
        return get.substr(0, get.size() - 2) + one + "\r\n\r\n";
    };
    for (const std::string& one : {
             std::string{"no colon"},
             std::string{": no name"},
             std::string{"name : value"},
             std::string{" folded: value"},
             std::string{"a: b\r\n folded"},
             std::string{"a: b\r\n\tfolded"},
             std::string{"a: b\nContent-Length: 3"},
             std::string{"a: b\rc"},
             std::string("a: \0", 4),
             std::string{"a: \x01"},
             std::string{"n\xc3\xa4me: value"},
             std::string{"Host: again"},
         }) {
        assert_fate(field(one), 400, false);
    }
    assert_fate(field("a:"), 200, true);
    assert_fate(field("a:\t b\xc3\xa4 \t"), 200, true);
    assert_fate("GET " + target + " HTTP/1.1\r\n\r\n", 400, false); // no Host
}

// RFC 9112, section 3.2.2
void test_target_may_be_absolute(void** /*state*/) {
    const auto with_target = [](const std::string& target) {
        return fate("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n").first;
    };
    assert_int_equal(with_target("http://dns.example/dns-query?dns=Zm8"), 200);
    assert_int_equal(with_target("HTTPS://dns.example:443/dns-query?dns=Zm8"), 200);
    assert_int_equal(with_target("http://dns.example"), 404);
    assert_int_equal(with_target("ftp://dns.example/dns-query?dns=Zm8"), 404);
    assert_int_equal(with_target("*"), 404);
}

// E72: it is read as HTTP/1.1 says, wherever it is cut.
void test_one_octet_at_a_time_is_the_same(void** /*state*/) {
    Rig rig;
    for (const std::string& request : {"\r\n\r\n" + get, post("question")}) {
        for (const char& octet : request) {
            assert_true(rig.take() == "none");
            assert_int_equal(rig.feed({&octet, 1}), State::open);
        }
        assert_true(rig.take() != "none");
        assert_int_equal(status_of(rig.answer("answer")), 200);
    }
    assert_true(rig.server.idle());
}

// E72: one at a time, in their order; what is refused among them as well.
void test_pipelined_requests_are_answered_one_by_one(void** /*state*/) {
    Rig rig;
    rig.feed(get + post("second") + "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + post("last") + "GET /dn");
    assert_true(rig.take() == "foobar");
    assert_true(rig.take() == "none");
    assert_int_equal(rig.server.respond(rig.stream, octets_of("one"), 0), Answered::queued);
    assert_int_equal(rig.server.respond(rig.stream, octets_of("one"), 0), Answered::gone);
    assert_true(rig.take() == "second");
    const std::string said = rig.answer("two");
    assert_true(said.find("\r\n\r\none") < said.find("\r\n\r\ntwoHTTP/1.1 404 "));
    assert_true(rig.server.has_request());
    assert_true(rig.take() == "last");
    assert_int_equal(status_of(rig.answer("three")), 200);
    assert_false(rig.server.idle()); // there is a part of one
}

// E45: many refusals at once do not fill memory.
void test_output_is_capped(void** /*state*/) {
    Rig rig;
    std::string many;
    for (int i = 0; i < 1000; ++i) {
        many += "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    }
    rig.feed(many);
    assert_in_range(rig.server.output().size(), Server::output_limit, Server::output_limit + 1024);
    assert_false(rig.server.wants_input());
    std::size_t count = 0;
    for (std::string said = rig.said(); !said.empty(); said = rig.said()) {
        for (auto at = said.find("HTTP/1.1 404"); at != std::string::npos;
             at = said.find("HTTP/1.1 404", at + 1)) {
            ++count;
        }
    }
    assert_int_equal(count, 1000);
    assert_true(rig.server.idle());
}

// E72
void test_head_is_bounded(void** /*state*/) {
    const std::string begin = "GET /dns-query?dns=Zm8 HTTP/1.1\r\nHost: x\r\na: ";
    assert_fate(begin + std::string(16384 - begin.size(), 'x') + "\r\n\r\n", 200, true);
    assert_fate(begin + std::string(16385 - begin.size(), 'x') + "\r\n\r\n", 431, false);
    assert_fate(begin + std::string(16400, 'x'), 431, false);
    assert_fate("GET /" + std::string(16400, 'x'), 414, false);
    assert_fate(std::string(16400, '\r'), 414, false);
    assert_fate("GET /" + std::string(10000, 'x'), 0, true);
}

// E72: keep-alive, as each version has it.
void test_connection_is_kept_as_asked(void** /*state*/) {
    const std::string target = "GET /dns-query?dns=Zm8 ";
    const std::map<std::string, bool> requests{
        {"HTTP/1.1\r\nHost: x\r\n\r\n", true},
        {"HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", true},
        {"HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", true}, // no Upgrade
        {"HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false},
        {"HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n", false},
        {"HTTP/1.0\r\n\r\n", false},
        {"HTTP/1.0\r\nHost: x\r\nConnection: close\r\n\r\n", false},
    };
    for (const auto& [rest, kept] : requests) {
        Rig rig;
        rig.feed(target + rest);
        assert_true(rig.take() == "fo");
        const std::string said = rig.answer("answer");
        assert_int_equal(status_of(said), 200);
        assert_int_equal(has(said, "\r\nconnection: close\r\n"), !kept);
        assert_int_equal(rig.server.state(), kept ? State::open : State::ending);
        rig.feed(get);
        assert_int_equal(rig.server.has_request(), kept);
    }
}

// RFC 9110, section 10.1.1
void test_who_waits_for_a_word_gets_one(void** /*state*/) {
    Rig rig;
    const std::string request = post("question", "Expect: 100-Continue\r\n");
    rig.feed(request.substr(0, request.size() - 8));
    assert_true(rig.said() == "HTTP/1.1 100 Continue\r\n\r\n");
    rig.feed("question");
    assert_true(rig.take() == "question");
    assert_int_equal(status_of(rig.answer("answer")), 200);
    rig.feed(request); // who does not wait
    assert_true(rig.take() == "question");
    assert_int_equal(status_of(rig.answer("answer")), 200);
    // What is refused at its head: whether a body follows is not known.
    assert_fate("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n",
                404, false);
}

// E73
void test_forwarded_for_comes_with_the_request(void** /*state*/) {
    Rig rig{{.path = "/dns-query", .cors = false, .forwarded = true}};
    rig.feed(get.substr(0, get.size() - 2) +
             "X-Forwarded-For: 192.0.2.1\r\nx-forwarded-FOR:  192.0.2.2 \r\n\r\n" + get);
    assert_true(rig.take() == "foobar");
    assert_true(rig.forwarded_for == "192.0.2.1, 192.0.2.2");
    static_cast<void>(rig.answer("answer"));
    assert_true(rig.take() == "foobar");
    assert_true(rig.forwarded_for.empty());
}

// E62
void test_drain_ends_with_the_answer_that_is_due(void** /*state*/) {
    Rig idle; // it may ask just now, and is not left at once
    idle.server.drain();
    assert_int_equal(idle.server.state(), State::open);
    idle.server.last_call();
    assert_int_equal(idle.server.state(), State::ending);

    Rig asked;
    asked.feed(get);
    assert_true(asked.take() == "foobar");
    asked.server.drain();
    asked.server.last_call();
    assert_int_equal(asked.server.state(), State::open);
    assert_true(has(asked.answer("answer"), "\r\nconnection: close\r\n"));
    assert_int_equal(asked.server.state(), State::ending);

    Rig begun;
    begun.feed(get.substr(0, 10));
    begun.server.drain();
    assert_int_equal(begun.server.state(), State::open);
    begun.feed(get.substr(10));
    assert_true(begun.take() == "foobar");
    assert_true(has(begun.answer("answer"), "\r\nconnection: close\r\n"));

    Rig refused;
    refused.feed("GET / HTTP/1.1\r\n");
    refused.server.drain();
    refused.feed("Host: x\r\n\r\n" + get);
    const std::string said = refused.said();
    assert_true(said.starts_with("HTTP/1.1 404 ") && has(said, "\r\nconnection: close\r\n"));
    assert_true(refused.take() == "none");

    Rig slow;
    slow.feed(get.substr(0, 10));
    slow.server.drain();
    slow.server.last_call();
    assert_int_equal(slow.server.state(), State::ending);
}

void test_after_the_end_nothing_is_taken(void** /*state*/) {
    Rig rig;
    rig.feed(get);
    assert_true(rig.take() == "foobar");
    rig.server.terminate();
    assert_int_equal(rig.server.respond(rig.stream, octets_of("late"), 0), Answered::gone);
    assert_int_equal(rig.server.asked(), 0);
    assert_int_equal(rig.feed(get), State::ending);
    assert_true(rig.take() == "none" && rig.said().empty());

    Rig cancelled;
    cancelled.feed(get + get);
    assert_true(cancelled.take() == "foobar");
    cancelled.server.cancel(cancelled.stream);
    assert_int_equal(cancelled.server.state(), State::ending);
    assert_true(cancelled.take() == "none" && cancelled.said().empty());
}

// E71: who knows what we speak begins with a line that no HTTP/1.1 has.
void test_version_is_told_from_the_first_octets(void** /*state*/) {
    const auto version = [](std::string_view begin) { return version_of(octets_of(begin)); };
    assert_true(version("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == Version::http2);
    assert_true(version("PRI * HTTP/2") == Version::http2);
    for (std::size_t size = 0; size < 12; ++size) {
        assert_true(version(std::string_view{"PRI * HTTP/2"}.substr(0, size)) == Version::unknown);
    }
    assert_true(version("GET /") == Version::http1);
    assert_true(version("PUT /") == Version::http1);
    assert_true(version("PRI * HTTP/1") == Version::http1);
    assert_true(version("\x16\x03") == Version::http1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_get_is_answered_and_the_connection_goes_on),
        cmocka_unit_test(test_post_is_answered),
        cmocka_unit_test(test_head_gets_no_body),
        cmocka_unit_test(test_web_pages_may_ask_where_it_is_allowed),
        cmocka_unit_test(test_refusals_leave_the_connection_open),
        cmocka_unit_test(test_unclear_lengths_end_the_connection),
        cmocka_unit_test(test_unclear_heads_end_the_connection),
        cmocka_unit_test(test_target_may_be_absolute),
        cmocka_unit_test(test_one_octet_at_a_time_is_the_same),
        cmocka_unit_test(test_pipelined_requests_are_answered_one_by_one),
        cmocka_unit_test(test_output_is_capped),
        cmocka_unit_test(test_head_is_bounded),
        cmocka_unit_test(test_connection_is_kept_as_asked),
        cmocka_unit_test(test_who_waits_for_a_word_gets_one),
        cmocka_unit_test(test_forwarded_for_comes_with_the_request),
        cmocka_unit_test(test_drain_ends_with_the_answer_that_is_due),
        cmocka_unit_test(test_after_the_end_nothing_is_taken),
        cmocka_unit_test(test_version_is_told_from_the_first_octets),
    };
    return cmocka_run_group_tests_name("http/http1", tests, nullptr, nullptr);
}
