// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HTTP/2 with a client that means harm: what it can make us hold, ask and do is bounded.

#include "http/raw.hh"

#include <array>
#include <set>

using namespace dotproxy::http;
using namespace dotproxy::http::test;

namespace {

using State = Server::State;
using Answered = Server::Answered;

constexpr std::size_t headers_limit = ServerSession::fields_limit;

// Octets that unfold to many fields: one goes to the table, and then is named again and again.
std::string bomb(std::size_t fields) {
    return get_block() + "\x40" + big_endian(4, 1) + "name" + big_endian(100, 1) +
           std::string(100, 'v') + std::string(fields, '\xbe');
}

// E43: up to the limit that is announced, a little more, and far more, which is only decoded.
void test_fields_are_counted_as_they_unfold(void** /*state*/) {
    Raw raw;
    raw.feed(frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, bomb(10)));
    Request request;
    assert_true(raw.server.next_request(request));
    raw.feed(frame(NGHTTP2_HEADERS, end_headers | end_stream, 3,
                   bomb(headers_limit / 136 + 10))); // 136 each
    assert_false(raw.server.has_request());
    std::vector<Seen> heads = raw.said(NGHTTP2_HEADERS);
    assert_int_equal(heads.size(), 1);
    assert_int_equal(heads[0].stream, 3); // 431
    const std::size_t before = raw.server.memory();
    raw.feed(frame(NGHTTP2_HEADERS, end_headers | end_stream, 5, bomb(16000)));
    assert_int_equal(raw.server.state(), State::open);
    const std::vector<Seen> resets = raw.said(NGHTTP2_RST_STREAM);
    assert_int_equal(resets.size(), 1);
    assert_int_equal(resets[0].stream, 5);
    assert_true(raw.server.memory() < before + 8192);
    // Once may be a mistake.
    assert_int_equal(raw.feed(frame(NGHTTP2_HEADERS, end_headers | end_stream, 7, bomb(16000))),
                     State::dead);
    assert_false(raw.server.reason().empty());
}

// E43
void test_many_small_fields_are_too_many(void** /*state*/) {
    Raw raw;
    std::string block = get_block();
    for (std::size_t i = 4; i < ServerSession::fields_count_limit; ++i) {
        block += literal("a", "");
    }
    raw.feed(frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, block));
    assert_true(raw.server.has_request());
    Request request;
    assert_true(raw.server.next_request(request));
    raw.feed(frame(NGHTTP2_HEADERS, end_headers | end_stream, 3, block + literal("a", "")));
    assert_false(raw.server.has_request());
    assert_int_equal(raw.said(NGHTTP2_HEADERS).size(), 1);
}

// E44: CVE-2024-28182
void test_head_in_many_pieces_ends_the_connection(void** /*state*/) {
    Raw raw;
    raw.feed(frame(NGHTTP2_HEADERS, end_stream, 1, get_block()));
    int pieces = 0;
    while (raw.server.state() == State::open && pieces < 1000) {
        raw.feed(frame(NGHTTP2_CONTINUATION, 0, 1));
        ++pieces;
    }
#ifdef HAVE_NGHTTP2_OPTION_SET_MAX_CONTINUATIONS
    assert_in_range(pieces, 8, 10);
#endif
    assert_int_equal(raw.server.streams(), 1);
}

// E43, E50: without an end, as it comes.
void test_head_without_an_end_keeps_memory_flat(void** /*state*/) {
    Raw raw;
    const std::string many = literal(std::string(20, 'a'), std::string(100, 'v'));
    std::string block = get_block();
    while (block.size() < 16000) {
        block += many;
    }
    raw.feed(frame(NGHTTP2_HEADERS, end_stream, 1, block));
    for (int i = 0; i < 100 && raw.server.state() == State::open; ++i) {
        raw.feed(frame(NGHTTP2_CONTINUATION, 0, 1, block));
        assert_true(raw.server.memory() < Memory::most);
    }
    assert_true(raw.server.memory() < 65536);
}

// E46: CVE-2023-44487. What the client has given up counts until its owner has answered it.
void test_rapid_reset_asks_no_more_than_the_limit(void** /*state*/) {
    Raw raw;
    std::set<std::uint32_t> asked;
    std::size_t taken = 0;
    std::uint32_t stream = 1;
    for (; stream < 20000 && raw.server.state() == State::open; stream += 2) {
        raw.feed(get(stream));
        Request request;
        while (raw.server.next_request(request)) {
            asked.insert(request.stream);
            ++taken;
        }
        raw.feed(rst(stream));
        static_cast<void>(raw.said());
        assert_int_equal(raw.server.asked(), asked.size());
        assert_true(raw.server.streams() <= ServerSession::most_streams);
        assert_true(raw.server.memory() < 131072);
        if (raw.server.asked() == ServerSession::most_streams && stream % 3 == 0) {
            const std::uint32_t one = *asked.begin();
            assert_int_equal(raw.server.respond(one, octets_of("late"), 0), Answered::gone);
            asked.erase(one);
        }
    }
    assert_true(taken >= 100);
#ifdef HAVE_NGHTTP2_OPTION_SET_STREAM_RESET_RATE_LIMIT
    assert_true(stream < 2000); // E44: nghttp2 has had enough by then
#endif
    for (const std::uint32_t one : asked) {
        assert_int_equal(raw.server.respond(one, octets_of("late"), 0), Answered::gone);
    }
    assert_int_equal(raw.server.asked(), 0);
    assert_int_equal(raw.server.streams(), 0);
}

// E46: CVE-2025-8671. The client makes us reset the stream: more than the largest window is an
// error of the stream alone.
void test_made_you_reset_asks_no_more_than_the_limit(void** /*state*/) {
    Raw raw;
    std::size_t refused = 0;
    for (std::uint32_t stream = 1; stream < 20000; stream += 2) {
        raw.feed(get(stream));
        Request request;
        while (raw.server.next_request(request)) {
        }
        raw.feed(window(stream, 0x7fffffff));
        for (const Seen& one : raw.said(NGHTTP2_RST_STREAM)) {
            assert_int_equal(one.stream, stream);
            refused += one.error() == NGHTTP2_REFUSED_STREAM ? 1U : 0U;
        }
        assert_true(raw.server.asked() <= ServerSession::most_streams);
        assert_true(raw.server.streams() <= ServerSession::most_streams);
        assert_true(raw.server.memory() < 131072);
    }
    assert_int_equal(raw.server.asked(), ServerSession::most_streams);
    assert_true(refused >= 9900);
}

// E46: one that was reset before it was taken is never asked.
void test_request_that_was_given_up_is_not_asked(void** /*state*/) {
    Raw raw;
    raw.feed(get(1) + get(3) + get(5) + rst(3));
    Request request;
    assert_true(raw.server.next_request(request));
    assert_int_equal(request.stream, 1);
    assert_true(raw.server.next_request(request));
    assert_int_equal(request.stream, 5);
    assert_false(raw.server.next_request(request));
    raw.feed(post_head(7) + data(7, "half") + rst(7));
    assert_false(raw.server.next_request(request));
    assert_int_equal(raw.server.streams(), 2);
}

// E45: who makes us answer, and reads nothing of it.
void test_ping_flood_ends_where_nothing_is_read(void** /*state*/) {
    Raw raw;
    std::size_t pings = 0;
    while (raw.server.state() == State::open && pings < 100'000) {
        raw.feed(ping());
        raw.server.fill();
        ++pings;
        assert_true(raw.server.output().size() < Server::output_limit + 16384);
        assert_true(raw.server.memory() < 65536);
    }
    assert_int_equal(raw.server.state(), State::dead);
    assert_in_range(pings, 3000, 5000); // 64 KiB of 17 octets, and 64 that wait
}

// E44, E45
void test_settings_flood_ends_where_nothing_is_read(void** /*state*/) {
    Raw raw;
    std::size_t count = 0;
    while (raw.server.state() == State::open && count < 100'000) {
        raw.feed(settings());
        raw.server.fill();
        ++count;
        assert_true(raw.server.memory() < 65536);
    }
    assert_int_equal(raw.server.state(), State::dead);
    assert_in_range(count, 5000, 9000);
}

// E44
void test_many_settings_at_once_end_the_connection(void** /*state*/) {
    Raw raw;
    std::string many;
    for (int i = 0; i < 33; ++i) {
        many += big_endian(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 2) + big_endian(65535, 4);
    }
    raw.feed(settings(many));
    const std::vector<Seen> farewell = raw.said(NGHTTP2_GOAWAY);
    assert_int_equal(farewell.at(0).error(), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(raw.server.state(), State::ending);
    assert_true(raw.server.reason() == "ENHANCE_YOUR_CALM");
}

// Frames that cost nothing to send and ask for nothing: they leave nothing behind either
// (CVE-2019-9513, CVE-2019-9516, CVE-2019-9518).
void test_frames_that_say_nothing_leave_nothing(void** /*state*/) {
    const std::array idle{
        frame(NGHTTP2_PRIORITY, 0, 3, big_endian(1, 4) + "\x10"),
        frame(NGHTTP2_WINDOW_UPDATE, 0, 1, big_endian(1, 4)),
        frame(NGHTTP2_DATA, 0, 1),
        frame(99, 0, 1, "unknown"),
        frame(NGHTTP2_PRIORITY_UPDATE, 0, 0, big_endian(1, 4) + "u=1"),
        frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678"),
    };
    for (const std::string& one : idle) {
        Raw raw;
        raw.feed(post_head(1));
        const std::size_t before = raw.server.memory();
        for (int i = 0; i < 20'000; ++i) {
            assert_int_equal(raw.feed(one), State::open);
        }
        assert_true(raw.server.memory() < before + 1024);
        assert_true(raw.said().empty());
        assert_int_equal(raw.server.streams(), 1);
        raw.feed(data(1, "question", true));
        assert_true(raw.server.has_request());
    }
}

// E45, E50: resets of streams that are refused are bounded by nghttp2's memory alone.
void test_refused_streams_end_where_nothing_is_read(void** /*state*/) {
    Raw raw;
    std::uint32_t stream = 1;
    while (raw.server.state() == State::open && stream < 200'000) {
        raw.feed(get(stream));
        raw.server.fill();
        stream += 2;
        assert_true(raw.server.output().size() < Server::output_limit + 16384);
        assert_true(raw.server.memory() <= Memory::most);
    }
    assert_int_equal(raw.server.state(), State::dead);
    assert_int_equal(raw.context.memory().used, raw.server.memory());
}

// E47: the client lets us send nothing; what waits in its streams is held all the same.
void test_answers_behind_a_closed_window_are_held(void** /*state*/) {
    Raw raw;
    raw.feed(settings(big_endian(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 2) + big_endian(0, 4)));
    raw.feed(get(1) + get(3));
    Request request;
    const std::string answer(1000, 'x');
    while (raw.server.next_request(request)) {
        raw.server.respond(request.stream, octets_of(answer), 0);
    }
    assert_int_equal(raw.said(NGHTTP2_HEADERS).size(), 2);
    assert_int_equal(raw.server.output().size(), 0);
    assert_int_equal(raw.server.held(), 2000);
    assert_false(raw.server.idle());
    raw.feed(window(1, 400));
    const std::vector<Seen> part = raw.said(NGHTTP2_DATA);
    assert_int_equal(part.at(0).payload.size(), 400);
    assert_int_equal(raw.server.held(), 1600);
    raw.feed(rst(1));
    assert_int_equal(raw.server.held(), 1000);
    raw.feed(window(3, 1000));
    assert_int_equal(raw.said(NGHTTP2_DATA).size(), 1);
    assert_int_equal(raw.server.held(), 0);
    assert_true(raw.server.idle());
}

// E45: large answers leave as there is room for them, and no sooner.
void test_output_is_capped(void** /*state*/) {
    Raw raw;
    raw.feed(window(0, 100 * 65535));
    const std::string answer(65535, 'x');
    for (std::uint32_t stream = 1; stream < 2 * 20; stream += 2) {
        raw.feed(get(stream) + window(stream, 65535));
        Request request;
        assert_true(raw.server.next_request(request));
        raw.server.respond(stream, octets_of(answer), 0);
    }
    raw.server.fill();
    assert_in_range(raw.server.output().size(), Server::output_limit,
                    Server::output_limit + 16384 + 9);
    assert_in_range(raw.server.held(), 20 * 65535, 20 * 65535 + 8192);
    assert_false(raw.server.wants_input());
    std::size_t octets = 0;
    for (const Seen& one : raw.said(NGHTTP2_DATA)) {
        octets += one.payload.size();
    }
    assert_int_equal(octets, 20 * 65535);
    assert_true(raw.server.wants_input());
}

// E28, E61: what was used at once does not stay.
void test_idle_connection_holds_little(void** /*state*/) {
    Raw raw;
    const std::size_t before = raw.server.memory();
    std::string all;
    for (std::uint32_t stream = 1; stream < 2 * 100; stream += 2) {
        all += get(stream);
    }
    raw.feed(all);
    Request request;
    while (raw.server.next_request(request)) {
        raw.server.respond(request.stream, octets_of(std::string(400, 'x')), 0);
    }
    assert_true(raw.server.memory() < Memory::most / 2);
    static_cast<void>(raw.said());
    assert_true(raw.server.idle());
    assert_in_range(before, 1, 28'000);
    // The table of streams of nghttp2 1.64 stays as large as it was.
    assert_in_range(raw.server.memory(), 1, before + 8192);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_are_counted_as_they_unfold),
        cmocka_unit_test(test_many_small_fields_are_too_many),
        cmocka_unit_test(test_head_in_many_pieces_ends_the_connection),
        cmocka_unit_test(test_head_without_an_end_keeps_memory_flat),
        cmocka_unit_test(test_rapid_reset_asks_no_more_than_the_limit),
        cmocka_unit_test(test_made_you_reset_asks_no_more_than_the_limit),
        cmocka_unit_test(test_request_that_was_given_up_is_not_asked),
        cmocka_unit_test(test_ping_flood_ends_where_nothing_is_read),
        cmocka_unit_test(test_settings_flood_ends_where_nothing_is_read),
        cmocka_unit_test(test_many_settings_at_once_end_the_connection),
        cmocka_unit_test(test_frames_that_say_nothing_leave_nothing),
        cmocka_unit_test(test_refused_streams_end_where_nothing_is_read),
        cmocka_unit_test(test_answers_behind_a_closed_window_are_held),
        cmocka_unit_test(test_output_is_capped),
        cmocka_unit_test(test_idle_connection_holds_little),
    };
    return cmocka_run_group_tests_name("http/server_floods", tests, nullptr, nullptr);
}
