// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Every type of frame in every state of a stream (RFC 9113, section 5.1), frames that look odd and
// are not, and those that no client should send: what h2spec asks of a server. Whatever it is, no
// request comes of it that is none, and the next one is answered if the connection stands.

#include "http/raw.hh"

#include <algorithm>
#include <array>
#include <functional>

using namespace dotproxy;
using namespace dotproxy::http;
using namespace dotproxy::http::test;
using State = ServerSession::State;

namespace {

constexpr std::uint8_t unknown_type = 0xfa;

/// What becomes of a frame. Where the RFC has a stream reset, a connection may end as well (section
/// 5.4.1); and what comes after a stream was closed may be ignored (section 5.1).
enum class Fate { taken, ignored, refused, ended, ignored_or_ended };

bool allows(Fate expected, Fate met) {
    return met == expected ||
           (expected == Fate::ignored_or_ended && (met == Fate::ignored || met == Fate::ended));
}

struct Met {
    Fate fate;
    std::uint32_t error; // of RST_STREAM or GOAWAY
};

Met feed(Raw& raw, std::string_view octets, std::uint32_t stream) {
    const State state = raw.feed(octets);
    const std::vector<Seen> said = raw.said();
    const auto find = [&said](std::uint8_t type) {
        return std::find_if(said.begin(), said.end(),
                            [type](const Seen& one) { return one.type == type; });
    };
    if (const auto goaway = find(NGHTTP2_GOAWAY); goaway != said.end()) {
        assert_int_not_equal(state, State::open);
        return {Fate::ended, goaway->error()};
    }
    assert_int_equal(state, State::open);
    if (const auto reset = find(NGHTTP2_RST_STREAM); reset != said.end()) {
        assert_int_equal(reset->stream, stream);
        return {Fate::refused, reset->error()};
    }
    Request request;
    if (raw.server.next_request(request)) {
        assert_int_equal(request.stream, stream);
        return {Fate::taken, 0};
    }
    return {Fate::ignored, 0};
}

// The connection is as good as new, or it has ended and takes nothing any more.
void assert_goes_on_unless(Raw& raw, bool ended) {
    Request request;
    if (ended) {
        assert_int_not_equal(raw.feed(get(99)), State::open);
        assert_false(raw.server.next_request(request));
        return;
    }
    raw.feed(get(99));
    assert_true(raw.server.next_request(request));
    assert_int_equal(request.stream, 99);
    raw.server.respond(99, octets_of("answer"), 0);
    const std::vector<Seen> said = raw.said(NGHTTP2_DATA);
    assert_true(!said.empty() && said.back().stream == 99 && said.back().payload == "answer");
}

/// Stream 3, brought there.
struct Stage {
    const char* name;
    std::function<void(Raw&)> enter;
};

void take(Raw& raw) {
    Request request;
    assert_true(raw.server.next_request(request));
}

const std::array stages{
    Stage{"idle", [](Raw& /*raw*/) {}},
    Stage{"open", [](Raw& raw) { raw.feed(post_head(3)); }},
    Stage{"asked",
          [](Raw& raw) { // half-closed (remote)
              raw.feed(get(3));
              take(raw);
          }},
    Stage{"answered",
          [](Raw& raw) {
              raw.feed(get(3));
              take(raw);
              raw.server.respond(3, octets_of("answer"), 0);
          }},
    Stage{"given up", [](Raw& raw) { raw.feed(post_head(3) + rst(3)); }},
    Stage{"cancelled",
          [](Raw& raw) {
              raw.feed(get(3));
              take(raw);
              raw.server.cancel(3);
          }},
    Stage{"passed over",
          [](Raw& raw) { // closed by the use of a higher number
              raw.feed(get(5));
              take(raw);
              raw.server.respond(5, octets_of("answer"), 0);
          }},
};

struct Kind {
    const char* name;
    std::string octets;
    std::array<Fate, stages.size()> fates;
};

// Section 5.1 and 6, a row for each type of frame, a column for each stage.
void test_each_frame_in_each_state(void** /*state*/) {
    using enum Fate;
    const std::string priority = big_endian(0, 4) + big_endian(16, 1);
    constexpr Fate over = ignored_or_ended;
    const std::array kinds{
        Kind{"DATA", data(3, "x", true), {ended, taken, ended, over, over, over, over}},
        Kind{"HEADERS",
             frame(NGHTTP2_HEADERS, end_headers | end_stream, 3, get_block()),
             {taken, refused, ended, over, over, over, over}},
        Kind{"PRIORITY",
             frame(NGHTTP2_PRIORITY, 0, 3, priority),
             {ignored, ignored, ignored, ignored, ignored, ignored, ignored}},
        Kind{"RST_STREAM", rst(3), {ended, ignored, ignored, ignored, ignored, ignored, over}},
        Kind{"PUSH_PROMISE",
             frame(NGHTTP2_PUSH_PROMISE, end_headers, 3, big_endian(4, 4) + get_block()),
             {ended, ended, ended, ended, ended, ended, ended}},
        Kind{"WINDOW_UPDATE",
             window(3, 1),
             {ended, ignored, ignored, ignored, ignored, ignored, over}},
        Kind{"CONTINUATION",
             frame(NGHTTP2_CONTINUATION, end_headers, 3, get_block()),
             {ended, ended, ended, ended, ended, ended, ended}},
        Kind{"unknown",
             frame(unknown_type, 0xff, 3, "whatever"),
             {ignored, ignored, ignored, ignored, ignored, ignored, ignored}},
    };
    for (const Kind& kind : kinds) {
        for (std::size_t i = 0; i < stages.size(); ++i) {
            Raw raw;
            stages.at(i).enter(raw);
            static_cast<void>(raw.said());
            const Fate fate = feed(raw, kind.octets, 3).fate;
            if (!allows(kind.fates.at(i), fate)) {
                fail_msg("%s, %s: %d", kind.name, stages.at(i).name, static_cast<int>(fate));
            }
            assert_goes_on_unless(raw, fate == ended);
        }
    }
}

// Sections 4.1, 5.5, 6.1, 6.2, 6.5.2: none of these is an error.
void test_what_is_odd_is_allowed(void** /*state*/) {
    const std::string block = get_block();
    const std::string padded = big_endian(5, 1) + block + std::string(5, '\0');
    const std::string ranked = big_endian(0, 4) + big_endian(255, 1) + block;
    const std::array heads{
        frame(NGHTTP2_HEADERS, end_headers | end_stream | NGHTTP2_FLAG_PADDED, 1, padded),
        frame(NGHTTP2_HEADERS, end_headers | end_stream | NGHTTP2_FLAG_PRIORITY, 1, ranked),
        frame(NGHTTP2_HEADERS, end_headers | end_stream | 0xd2U, 1, block), // flags of nobody
        frame(NGHTTP2_HEADERS, end_stream, 1, block.substr(0, 1)) +
            frame(NGHTTP2_CONTINUATION, 0, 1, "") +
            frame(NGHTTP2_CONTINUATION, end_headers, 1, block.substr(1)),
        frame(NGHTTP2_HEADERS, end_stream, 1, "") +
            frame(NGHTTP2_CONTINUATION, end_headers, 1, block),
        frame(NGHTTP2_HEADERS, end_headers, 1, block) + data(1, "") + data(1, "", true),
        frame(NGHTTP2_HEADERS, end_headers, 1, block) +
            frame(NGHTTP2_DATA, end_stream | NGHTTP2_FLAG_PADDED, 1, big_endian(0, 1)),
        // RFC 7541, section 4.2: the table made smaller, and larger again.
        frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, "\x20\x3f\xe1\x1f" + block),
        frame(unknown_type, 0, 0, "whatever") + get(1),
        frame(unknown_type, 0xff, 1) + get(1),
        frame(0x0a, 0, 0, std::string("\0\0", 2)) + get(1),      // ALTSVC, of servers
        frame(0x10, 0, 0, big_endian(1, 4) + "u=0, i") + get(1), // PRIORITY_UPDATE
        settings(big_endian(0xfafa, 2) + big_endian(1, 4)) + get(1),
        settings() + settings() + get(1),
        frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678") + get(1),
        frame(NGHTTP2_PRIORITY, 0, 1, big_endian(3, 4) + big_endian(1, 1)) + get(1),
        window(0, 1) + get(1),
    };
    for (const std::string& head : heads) {
        Raw raw;
        assert_int_equal(feed(raw, head, 1).fate, Fate::taken);
        assert_goes_on_unless(raw, false);
    }
}

struct Broken {
    std::string octets;
    std::uint32_t error;
};

// Sections 4.2, 4.3, 5.1.1, 6.1 to 6.10: errors of the connection, by their names.
void test_what_is_broken_ends_the_connection(void** /*state*/) {
    const std::string block = get_block();
    const auto head = [](std::string_view fields) {
        return frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, fields);
    };
    const std::array all{
        // Padding that is longer than what there is.
        Broken{frame(NGHTTP2_HEADERS, end_headers | end_stream | NGHTTP2_FLAG_PADDED, 1,
                     big_endian(200, 1) + block),
               NGHTTP2_PROTOCOL_ERROR},
        Broken{post_head(1) + frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, big_endian(2, 1) + "x"),
               NGHTTP2_PROTOCOL_ERROR},
        // Something else in the middle of a head.
        Broken{frame(NGHTTP2_HEADERS, end_stream, 1, block) + data(1, "x"), NGHTTP2_PROTOCOL_ERROR},
        Broken{frame(NGHTTP2_HEADERS, end_stream, 1, block) + get(3), NGHTTP2_PROTOCOL_ERROR},
        Broken{frame(NGHTTP2_HEADERS, end_stream, 1, block) + frame(unknown_type, 0, 1),
               NGHTTP2_PROTOCOL_ERROR},
        Broken{frame(NGHTTP2_HEADERS, end_stream, 1, block) +
                   frame(NGHTTP2_CONTINUATION, end_headers, 3, block),
               NGHTTP2_PROTOCOL_ERROR},
        // What has a size.
        Broken{frame(NGHTTP2_PRIORITY, 0, 1, "1234"), NGHTTP2_FRAME_SIZE_ERROR},
        Broken{post_head(1) + frame(NGHTTP2_RST_STREAM, 0, 1, "123"), NGHTTP2_FRAME_SIZE_ERROR},
        Broken{post_head(1) + frame(NGHTTP2_WINDOW_UPDATE, 0, 1, "123"), NGHTTP2_FRAME_SIZE_ERROR},
        Broken{frame(NGHTTP2_PING, 0, 0, "123456789"), NGHTTP2_FRAME_SIZE_ERROR},
        Broken{frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "x"), NGHTTP2_FRAME_SIZE_ERROR},
        // What belongs to the connection, or to a stream.
        Broken{frame(NGHTTP2_GOAWAY, 0, 1, std::string(8, '\0')), NGHTTP2_PROTOCOL_ERROR},
        Broken{frame(NGHTTP2_CONTINUATION, end_headers, 0, block), NGHTTP2_PROTOCOL_ERROR},
        // Settings beyond their bounds.
        Broken{settings(big_endian(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 2) +
                        big_endian(0x80000000U, 4)),
               NGHTTP2_FLOW_CONTROL_ERROR},
        Broken{settings(big_endian(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 2) + big_endian(16383, 4)),
               NGHTTP2_PROTOCOL_ERROR},
        Broken{settings(big_endian(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 2) + big_endian(16777216, 4)),
               NGHTTP2_PROTOCOL_ERROR},
        // RFC 7541: no such index, none at all, a string that ends early, a table larger than
        // allowed, or changed at the end, and Huffman codes with too much behind them.
        Broken{head("\xff\x80\x01"), NGHTTP2_COMPRESSION_ERROR},
        Broken{head("\x80"), NGHTTP2_COMPRESSION_ERROR},
        Broken{head(block + std::string("\0\x05"
                                        "a",
                                        3)),
               NGHTTP2_COMPRESSION_ERROR},
        Broken{head("\x3f\xe2\x1f" + block), NGHTTP2_COMPRESSION_ERROR},
        Broken{head(block + "\x20"), NGHTTP2_COMPRESSION_ERROR},
        Broken{head(block + std::string("\0\x01"
                                        "a\x82\xff\xff",
                                        6)),
               NGHTTP2_COMPRESSION_ERROR},
    };
    for (std::size_t i = 0; i < all.size(); ++i) {
        Raw raw;
        const Met met = feed(raw, all.at(i).octets, 1);
        if (met.fate != Fate::ended || met.error != all.at(i).error) {
            fail_msg("%zu: fate %d, error %u", i, static_cast<int>(met.fate), met.error);
        }
        assert_goes_on_unless(raw, true);
    }
}

// Sections 6.9 and 6.9.1: errors of the stream, for which nghttp2 ends the connection where the
// first is concerned.
void test_what_is_wrong_with_a_window_is_no_request(void** /*state*/) {
    for (const auto& [octets, error] :
         {Broken{window(1, 0), NGHTTP2_PROTOCOL_ERROR},
          Broken{window(1, 0x7fffffff), NGHTTP2_FLOW_CONTROL_ERROR},
          Broken{window(1, 0x7fff0000) +
                     settings(big_endian(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 2) +
                              big_endian(0x7fffffff, 4)),
                 NGHTTP2_FLOW_CONTROL_ERROR}}) {
        Raw raw;
        raw.feed(post_head(1));
        const Met met = feed(raw, octets, 1);
        assert_true(met.fate == Fate::refused || met.fate == Fate::ended);
        assert_int_equal(met.error, error);
        assert_goes_on_unless(raw, met.fate == Fate::ended);
    }
}

// Section 6.9.2: what was allowed before may be more than the settings leave.
void test_window_may_be_less_than_nothing(void** /*state*/) {
    const auto sized = [](std::uint32_t size) {
        return settings(big_endian(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 2) + big_endian(size, 4));
    };
    Raw raw;
    raw.feed(sized(4) + get(1));
    take(raw);
    raw.server.respond(1, octets_of("answer"), 0);
    assert_string_equal(raw.said(NGHTTP2_DATA).at(0).payload.c_str(), "answ");
    raw.feed(sized(1) + window(1, 3)); // 3 less than nothing, then nothing
    assert_true(raw.said(NGHTTP2_DATA).empty());
    raw.feed(window(1, 1));
    assert_string_equal(raw.said(NGHTTP2_DATA).at(0).payload.c_str(), "e");
    raw.feed(sized(100));
    const std::vector<Seen> rest = raw.said(NGHTTP2_DATA);
    assert_string_equal(rest.at(0).payload.c_str(), "r");
    assert_true((rest.at(0).flags & end_stream) != 0);
    assert_goes_on_unless(raw, false);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_each_frame_in_each_state),
        cmocka_unit_test(test_what_is_odd_is_allowed),
        cmocka_unit_test(test_what_is_broken_ends_the_connection),
        cmocka_unit_test(test_what_is_wrong_with_a_window_is_no_request),
        cmocka_unit_test(test_window_may_be_less_than_nothing),
    };
    return cmocka_run_group_tests_name("http/server_states", tests, nullptr, nullptr);
}
