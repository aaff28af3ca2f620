// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HTTP/2 with a client that is broken: one request is, or its body, or the whole connection; or
// memory has run out.

#include "http/raw.hh"

#include <algorithm>
#include <array>
#include <set>

using namespace dotproxy::http;
using namespace dotproxy::http::test;

namespace {

using State = Server::State;

// E43: trailers are fields as well, and nothing in them counts.
void test_trailers_are_counted_and_ignored(void** /*state*/) {
    Raw raw;
    raw.feed(post_head(1) + data(1, "question") +
             frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, literal("content-type", "x")));
    Request request;
    assert_true(raw.server.next_request(request));
    assert_true(text_of(request.message) == "question");
    raw.feed(post_head(3) + data(3, "question") +
             frame(NGHTTP2_HEADERS, end_headers | end_stream, 3,
                   "\x40" + big_endian(1, 1) + "n" + big_endian(100, 1) + std::string(100, 'v') +
                       std::string(1000, '\xbe')));
    assert_false(raw.server.has_request());
    assert_int_equal(raw.said(NGHTTP2_RST_STREAM).at(0).stream, 3);
}

// E42: more at a time than were allowed.
void test_too_many_streams_are_refused(void** /*state*/) {
    Raw raw;
    std::string all;
    for (std::uint32_t stream = 1; stream <= 2 * 120; stream += 2) {
        all += get(stream); // it has not confirmed our settings: each is reset
    }
    raw.feed(all);
    Request request;
    std::size_t taken = 0;
    while (raw.server.next_request(request)) {
        ++taken;
    }
    assert_int_equal(taken, 100);
    const std::vector<Seen> resets = raw.said(NGHTTP2_RST_STREAM);
    assert_int_equal(resets.size(), 20);
    for (const Seen& one : resets) {
        assert_int_equal(one.error(), NGHTTP2_REFUSED_STREAM);
    }
    assert_int_equal(raw.server.state(), State::open);
}

// E48
void test_bodies_of_a_connection_are_bounded(void** /*state*/) {
    Raw raw;
    const std::string part(16000, 'x');
    std::vector<Seen> resets;
    for (std::uint32_t stream = 1; stream < 2 * 50; stream += 2) {
        raw.feed(post_head(stream) + data(stream, part));
        for (const Seen& one : raw.said(NGHTTP2_RST_STREAM)) {
            assert_int_equal(one.error(), NGHTTP2_ENHANCE_YOUR_CALM);
            resets.push_back(one);
        }
    }
    assert_int_equal(resets.size(), 50 - ServerSession::messages_limit / part.size());
    // Those that were there first are not harmed.
    raw.feed(data(1, "!", true));
    Request request;
    assert_true(raw.server.next_request(request));
    assert_int_equal(request.message.size(), part.size() + 1);
    raw.feed(post_head(1001) + data(1001, part)); // and so there is room again
    assert_true(raw.said(NGHTTP2_RST_STREAM).empty());
}

// E73: what a proxy says of its client stands in the head. Behind the body that client may write
// what it likes.
void test_trailers_say_nothing(void** /*state*/) {
    Raw raw{{.forwarded = true}};
    raw.feed(frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1,
                   post_block() + literal("x-forwarded-for", "203.0.113.9")) +
             data(1, "asked") +
             frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                   literal("x-forwarded-for", "10.1.1.1") + literal("content-type", "x/y")));
    Request request;
    assert_true(raw.server.next_request(request));
    assert_string_equal(std::string{request.forwarded_for}.c_str(), "203.0.113.9");
    assert_int_equal(request.message.size(), 5);
}

// E48: what was taken is not kept, and what was not counts.
void test_messages_then_they_count_until_they_are_taken(void** /*state*/) {
    Raw raw;
    const std::string body(10000, 'x');
    raw.feed(post_head(1) + data(1, body, true) + post_head(3) + data(3, body.substr(0, 5000)));
    assert_int_equal(raw.server.received(), 15000);
    Request request;
    assert_true(raw.server.next_request(request));
    assert_int_equal(request.message.size(), body.size());
    assert_false(raw.server.next_request(request)); // from here on the owner is done with it
    assert_int_equal(raw.server.received(), 5000);
    raw.feed(rst(3));
    assert_int_equal(raw.server.received(), 0);
    assert_int_equal(raw.server.asked(), 1);
}

// E48: the connection's window holds two bodies that are not whole, and neither has to wait for the
// other; what was announced costs nothing.
void test_half_bodies_do_not_lock_each_other_out(void** /*state*/) {
    Raw raw;
    raw.feed(post_head(1) + post_head(3));
    std::size_t room = 65535;
    for (int i = 0; i < 60; ++i) {
        for (const std::uint32_t stream : {1U, 3U}) {
            assert_true(room >= 1000);
            raw.feed(data(stream, std::string(1000, 'x')));
            room -= 1000;
        }
        for (const Seen& one : raw.said(NGHTTP2_WINDOW_UPDATE)) {
            room += one.stream == 0 ? one.error() : 0; // the increment is where errors are
        }
    }
    raw.feed(data(1, "", true) + data(3, "", true));
    Request request;
    assert_true(raw.server.next_request(request) && request.message.size() == 60'000);
    assert_true(raw.server.next_request(request) && request.message.size() == 60'000);
}

// E48, E58: longer than any message. It is answered, and what still comes is not kept.
void test_body_that_is_too_long_is_answered(void** /*state*/) {
    Raw raw;
    raw.feed(post_head(1));
    for (int i = 0; i < 5; ++i) {
        raw.feed(data(1, std::string(16000, 'x')));
    }
    std::vector<Seen> said = raw.said();
    const auto has = [&said](std::uint8_t type) {
        return std::any_of(said.begin(), said.end(),
                           [=](const Seen& one) { return one.type == type && one.stream == 1; });
    };
    assert_true(has(NGHTTP2_HEADERS) && has(NGHTTP2_DATA) && !has(NGHTTP2_RST_STREAM));
    for (int i = 0; i < 5; ++i) { // who has not heard of it in time is told to stop
        raw.feed(data(1, std::string(16000, 'x')));
    }
    said = raw.said();
    assert_true(has(NGHTTP2_RST_STREAM));
    assert_int_equal(said.back().error(), NGHTTP2_NO_ERROR);
    raw.feed(data(1, std::string(16000, 'x')));
    assert_int_equal(raw.server.state(), State::open);
    assert_int_equal(raw.server.streams(), 0);
}

// E55: a length that the body has not.
void test_body_of_another_length_is_reset(void** /*state*/) {
    for (const char* length : {"3", "5"}) {
        Raw raw;
        raw.feed(frame(NGHTTP2_HEADERS, end_headers, 1,
                       post_block() + literal("content-length", length)) +
                 data(1, "four", true));
        assert_false(raw.server.has_request());
        assert_int_equal(raw.said(NGHTTP2_RST_STREAM).at(0).error(), NGHTTP2_PROTOCOL_ERROR);
        assert_int_equal(raw.server.streams(), 0);
    }
}

// RFC 9113, section 8.2, 8.3: malformed requests are reset, each for itself.
void test_malformed_heads_are_reset(void** /*state*/) {
    const std::string good = get_block();
    const std::array blocks{
        good + literal("Upper", "x"),
        good + literal("connection", "close"),
        good + literal("transfer-encoding", "chunked"),
        good + literal(":path", "/again"),
        good + literal(":unknown", "x"),
        good + literal("te", "gzip"),
        literal("accept", "x") + good,
        std::string{"\x82\x87"} + literal(":authority", "dns.example"),
        std::string{"\x82"} + literal(":path", "/dns-query"),
        good + literal("a", std::string_view{"a\0b", 3}),
        good + literal("a", "a\r\nb"),
    };
    Raw raw;
    std::uint32_t stream = 1;
    for (const std::string& block : blocks) {
        raw.feed(frame(NGHTTP2_HEADERS, end_headers | end_stream, stream, block));
        assert_false(raw.server.has_request());
        const std::vector<Seen> said = raw.said(NGHTTP2_RST_STREAM);
        assert_int_equal(said.size(), 1);
        assert_int_equal(said[0].stream, stream);
        stream += 2;
    }
    assert_int_equal(raw.server.streams(), 0);
    raw.feed(get(stream));
    assert_true(raw.server.has_request());
}

// E41: errors of the connection end it, wherever they are found, and nothing is asked any more.
void test_broken_frames_end_the_connection(void** /*state*/) {
    const std::array broken{
        frame(NGHTTP2_HEADERS, end_headers | end_stream, 2, get_block()), // of a server
        frame(NGHTTP2_HEADERS, end_headers | end_stream, 0, get_block()),
        frame(NGHTTP2_DATA, 0, 0, "x"),
        frame(NGHTTP2_DATA, 0, 99, "x"), // of nobody
        frame(NGHTTP2_CONTINUATION, end_headers, 1, ""),
        frame(NGHTTP2_HEADERS, end_stream, 3, get_block()) + ping(),
        frame(NGHTTP2_HEADERS, end_headers | end_stream, 3, "\xff\xff\xff\xff\xff\xff"),
        frame(NGHTTP2_PUSH_PROMISE, end_headers, 3, big_endian(4, 4)),
        frame(NGHTTP2_SETTINGS, 0, 0, "12345"),
        frame(NGHTTP2_SETTINGS, 0, 1),
        frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "123456"),
        frame(NGHTTP2_PING, 0, 0, "1234567"),
        frame(NGHTTP2_PING, 0, 1, "12345678"),
        frame(NGHTTP2_WINDOW_UPDATE, 0, 0, big_endian(0, 4)),
        frame(NGHTTP2_RST_STREAM, 0, 0, big_endian(0, 4)),
        frame(NGHTTP2_GOAWAY, 0, 0, "1234"),
        big_endian(16385, 3) + big_endian(NGHTTP2_DATA, 1) + big_endian(0, 5),
        window(0, 0x7fffffff) + window(0, 0x7fffffff),
        settings(big_endian(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 2) + big_endian(1, 4)),
        settings(big_endian(NGHTTP2_SETTINGS_ENABLE_PUSH, 2) + big_endian(2, 4)),
    };
    for (const std::string& one : broken) {
        Raw raw;
        raw.feed(get(1) + one + get(5));
        assert_int_not_equal(raw.server.state(), State::open);
        Request request;
        assert_false(raw.server.next_request(request));
        assert_int_not_equal(raw.feed(get(7)), State::open);
        const std::vector<Seen> farewell = raw.said(NGHTTP2_GOAWAY);
        assert_true(raw.server.state() == State::dead || farewell.size() == 1);
        assert_false(raw.server.reason().empty());
    }
}

// Something else than HTTP/2.
void test_other_protocols_end_at_once(void** /*state*/) {
    for (const std::string_view other : {std::string_view{"GET / HTTP/1.1\r\n\r\n"},
                                         std::string_view{"\x16\x03\x01\x02\x00\x01", 6},
                                         std::string_view{"PRI * HTTP/2.0\r\n\r\nSMx\r\n\r\n"}}) {
        ServerContext context{Pair::memory};
        const Service service;
        ServerSession server{context, service};
        assert_int_equal(server.feed(octets_of(other)), State::dead);
        assert_int_equal(server.fill(), State::dead);
    }
}

// E50: wherever memory ends, the connection does, and nothing else.
void test_memory_may_end_anywhere(void** /*state*/) {
    const std::string all = preface + settings() + get(1) + post_head(3) +
                            data(3, "question", true) +
                            frame(NGHTTP2_HEADERS, end_headers | end_stream, 5, get_block("/")) +
                            ping() + rst(1) + window(5, 0);
    std::set<State> ends;
    for (std::size_t memory = 0; memory < 40'000; memory += 40) {
        ServerContext context{memory};
        const Service service;
        {
            ServerSession server{context, service};
            server.feed(octets_of(all));
            Request request;
            while (server.next_request(request)) {
                server.respond(request.stream, octets_of("answer"), 0);
            }
            server.drain();
            server.fill();
            server.last_call();
            server.cancel(99);
            ends.insert(server.fill());
            assert_true(context.memory().used <= memory + 1024);
        }
        assert_int_equal(context.memory().used, 0);
    }
    assert_true(ends.contains(State::dead) && ends.size() > 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_trailers_are_counted_and_ignored),
        cmocka_unit_test(test_too_many_streams_are_refused),
        cmocka_unit_test(test_bodies_of_a_connection_are_bounded),
        cmocka_unit_test(test_trailers_say_nothing),
        cmocka_unit_test(test_messages_then_they_count_until_they_are_taken),
        cmocka_unit_test(test_half_bodies_do_not_lock_each_other_out),
        cmocka_unit_test(test_body_that_is_too_long_is_answered),
        cmocka_unit_test(test_body_of_another_length_is_reset),
        cmocka_unit_test(test_malformed_heads_are_reset),
        cmocka_unit_test(test_broken_frames_end_the_connection),
        cmocka_unit_test(test_other_protocols_end_at_once),
        cmocka_unit_test(test_memory_may_end_anywhere),
    };
    return cmocka_run_group_tests_name("http/server_faults", tests, nullptr, nullptr);
}
