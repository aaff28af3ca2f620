// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HTTP/2 with an upstream that is broken or means harm, and without memory.

#include "http/upstream_peer.hh"

#include <array>
#include <malloc.h>
#include <set>

using namespace dotproxy::http;
using namespace dotproxy::http::test;

namespace {

using Kind = Event::Kind;

const std::string settings_ack = frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0);

/// What an owner may do is harmless, whatever has become of the connection.
void use_all(Caller& caller) {
    caller.feed(reply(1, "answer") + goaway(0));
    caller.session.cancel(0);
    caller.ask(0, "question");
    caller.session.cancel(0);
    caller.session.cancel(99);
    caller.session.ping();
    caller.session.fill();
    caller.session.output().clear();
    static_cast<void>(caller.told());
    assert_int_equal(caller.session.room(), 0);
    assert_false(caller.session.is_sound());
    assert_false(caller.session.reason().empty());
}

/// A peer that says this ends the connection: nothing is told of what comes behind it.
void assert_broken(const std::string& octets) {
    const auto caller = Caller::greeted();
    caller->ask(0, "question");
    caller->ask(1, "question");
    static_cast<void>(caller->said());
    caller->feed(reply(3, "answer") + octets + reply(1, "answer"));
    std::size_t responses = 0;
    for (const Told& one : caller->told()) {
        assert_true(one.kind != Kind::response || one.tag == 1);
        responses += one.kind == Kind::response ? 1 : 0;
    }
    assert_int_equal(responses, 1);
    assert_false(caller->session.is_sound());
    use_all(*caller);
}

// RFC 9113: errors of the connection.
void test_broken_frames_end_the_connection(void** /*state*/) {
    const std::array broken{
        frame(NGHTTP2_HEADERS, end_headers | end_stream, 0, literal(":status", "200")),
        frame(NGHTTP2_HEADERS, end_headers | end_stream, 2, literal(":status", "200")),
        frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, "\xff\xff\xff\xff\xff\xff"),
        frame(NGHTTP2_HEADERS, end_stream, 1, literal(":status", "200")) + ping(),
        frame(NGHTTP2_DATA, 0, 0, "x"),
        data(1, "answer", true),         // without a head
        frame(NGHTTP2_DATA, 0, 99, "x"), // of nobody
        frame(NGHTTP2_CONTINUATION, end_headers, 1, ""),
        settings_ack + frame(NGHTTP2_PUSH_PROMISE, end_headers, 1, big_endian(2, 4)), // E81
        frame(NGHTTP2_SETTINGS, 0, 0, "12345"),
        frame(NGHTTP2_SETTINGS, 0, 1),
        frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "123456"),
        frame(NGHTTP2_PING, 0, 0, "1234567"),
        frame(NGHTTP2_PING, 0, 1, "12345678"),
        frame(NGHTTP2_WINDOW_UPDATE, 0, 0, big_endian(0, 4)),
        frame(NGHTTP2_RST_STREAM, 0, 0, big_endian(0, 4)),
        frame(NGHTTP2_RST_STREAM, 0, 99, big_endian(0, 4)),
        frame(NGHTTP2_GOAWAY, 0, 0, "1234"),
        frame(NGHTTP2_GOAWAY, 0, 1, big_endian(0, 8)),
        goaway(1) + goaway(3), // RFC 9113, section 6.8: it may not go up
        big_endian(16385, 3) + big_endian(NGHTTP2_DATA, 1) + big_endian(0, 5),
        window(0, 0x7fffffff) + window(0, 0x7fffffff),
        setting(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 1),
        setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 1), // which no server may say
        setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x80000000),
    };
    for (const std::string& one : broken) {
        assert_broken(one);
    }
}

// E81: as long as it has not confirmed our settings it may push (RFC 9113, section 6.5.3). What it
// promises is none of our requests.
void test_push_before_settings_are_confirmed_is_reset(void** /*state*/) {
    const auto caller = Caller::greeted(most_streams(10));
    caller->ask(0, "question");
    static_cast<void>(caller->said());
    for (std::uint32_t stream = 2; stream < 2 * 100; stream += 2) {
        caller->feed(
            frame(NGHTTP2_PUSH_PROMISE, end_headers, 1, big_endian(stream, 4) + get_block()) +
            reply(stream, "pushed"));
        const std::vector<Seen> resets = caller->said(NGHTTP2_RST_STREAM);
        assert_int_equal(resets.size(), 1);
        assert_int_equal(resets[0].stream, stream);
        assert_int_equal(caller->session.room(), 9);
    }
    assert_true(caller->told().empty());
    caller->feed(reply(1, "answer"));
    assert_int_equal(caller->told().size(), 1);
    assert_int_equal(caller->session.room(), 10);
}

// Why is said to the peer, in a GOAWAY that its owner can still write.
void test_broken_peer_is_told(void** /*state*/) {
    const auto caller = Caller::greeted();
    caller->feed(frame(NGHTTP2_PING, 0, 1, "12345678"));
    const std::vector<Seen> said = frames_of(text_of(caller->session.output().view()));
    assert_int_equal(said.size(), 1);
    assert_int_equal(said[0].type, NGHTTP2_GOAWAY);
    assert_int_equal(said[0].error(), NGHTTP2_PROTOCOL_ERROR);
    assert_string_equal(std::string{caller->session.reason()}.c_str(), "PROTOCOL_ERROR");
}

// Something else than HTTP/2.
void test_other_protocols_end_at_once(void** /*state*/) {
    for (const std::string_view other :
         {std::string_view{"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"},
          std::string_view{"\x15\x03\x01\x00\x02\x02\x28\0\0\0", 10},
          std::string_view{"\0\x2f\x12\x34\x81\x80\0\1\0\1\0\0\0\0", 14}}) {
        Caller caller;
        static_cast<void>(caller.said());
        caller.feed(other);
        assert_false(caller.session.is_sound());
        use_all(caller);
    }
}

// Any cut of the octets gives the same.
void test_octets_may_come_one_by_one(void** /*state*/) {
    const std::string all = most_streams(7) + reply_head(1, "103") + reply(3, "second") + ping() +
                            reply(1, "first", literal("age", "5")) + goaway(3);
    const auto caller = Caller::greeted();
    caller->ask(0, "question");
    caller->ask(1, "question");
    static_cast<void>(caller->said());
    std::vector<Told> told;
    for (const char octet : all) {
        caller->feed({&octet, 1});
        for (Told& one : caller->told()) {
            told.push_back(std::move(one));
        }
    }
    assert_int_equal(told.size(), 3);
    assert_true(told[0].tag == 1 && told[0].octets == "second");
    assert_true(told[1].tag == 0 && told[1].octets == "first" && told[1].age.count() == 5);
    assert_int_equal(told[2].kind, Kind::leaving);
    assert_true(caller->session.is_sound());
}

// Acknowledgements are not collected without an end.
void test_floods_are_answered_or_end_the_connection(void** /*state*/) {
    for (const std::string& one :
         {ping(), settings(), setting(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0)}) {
        const auto calm = Caller::greeted();
        for (int i = 0; i < 10'000; ++i) { // each is answered before the next one comes
            calm->feed(one);
            assert_int_equal(calm->said().size(), 1);
        }
        assert_true(calm->session.is_sound());

        const auto flooded = Caller::greeted();
        std::string many;
        for (int i = 0; i < 1000; ++i) {
            many += one;
        }
        flooded->feed(many);
        assert_false(flooded->session.is_sound());
        assert_true(flooded->context.memory().used < 65536);
        use_all(*flooded);
    }
}

// What needs no answer costs nothing that lasts.
void test_idle_talk_keeps_memory_flat(void** /*state*/) {
    const std::string ack = ping(NGHTTP2_FLAG_ACK);
    const std::string priority = frame(NGHTTP2_PRIORITY, 0, 3, big_endian(1, 4) + "x");
    const std::string unknown = frame(99, 0, 1, std::string(1000, 'x'));
    const std::string empty = data(1, "");
    const std::string interim = reply_head(1, "103", literal("link", std::string(100, 'x')));
    for (const std::string& one : {ack, priority, unknown, interim, window(1, 1), window(0, 1)}) {
        const auto caller = Caller::greeted();
        caller->ask(0, "question");
        static_cast<void>(caller->said());
        caller->feed(one);
        const std::size_t before = caller->context.memory().used;
        for (int i = 0; i < 5000 && caller->session.is_sound(); ++i) {
            caller->feed(one);
            static_cast<void>(caller->said());
            static_cast<void>(caller->told());
            assert_true(caller->context.memory().used < before + 8192);
        }
        assert_true(caller->session.waiting() < 8192);
    }
    const auto caller = Caller::greeted();
    caller->ask(0, "question");
    static_cast<void>(caller->said());
    caller->feed(reply_head(1, "200", message_type));
    for (int i = 0; i < 5000; ++i) {
        caller->feed(empty);
    }
    caller->feed(data(1, "answer", true));
    assert_true(caller->told().at(0).octets == "answer");
}

// E44: CVE-2024-28182; and fields that unfold to far more than they are on the wire.
void test_endless_head_keeps_memory_flat(void** /*state*/) {
    const auto caller = Caller::greeted();
    caller->ask(0, "question");
    static_cast<void>(caller->said());
    const std::string bomb = literal(":status", "200") + "\x40" + big_endian(4, 1) + "name" +
                             big_endian(100, 1) + std::string(100, 'v') +
                             std::string(15000, '\xbe');
    caller->feed(frame(NGHTTP2_HEADERS, 0, 1, bomb));
    for (int i = 0; i < 100 && caller->session.is_sound(); ++i) {
        caller->feed(frame(NGHTTP2_CONTINUATION, 0, 1, std::string(15000, '\xbe')));
        assert_true(caller->context.memory().used < 131072);
    }
#ifdef HAVE_NGHTTP2_OPTION_SET_MAX_CONTINUATIONS
    assert_false(caller->session.is_sound());
#endif
}

// Requests that come and go leave nothing behind.
void test_many_requests_keep_memory_flat(void** /*state*/) {
    const auto caller = Caller::greeted();
    std::uint32_t stream = 1;
    std::size_t before = 0;
    for (int i = 0; i < 20'000; ++i, stream += 2) {
        const auto tag = static_cast<std::uint16_t>(i % 7);
        caller->ask(tag, "question");
        switch (i % 4) {
        case 0:
            caller->session.cancel(tag);
            stream -= caller->said(NGHTTP2_HEADERS).empty() ? 0U : 2U;
            break;
        case 1:
            static_cast<void>(caller->said());
            caller->session.cancel(tag);
            break;
        case 2:
            static_cast<void>(caller->said());
            caller->feed(rst(stream));
            break;
        default:
            static_cast<void>(caller->said());
            caller->feed(reply(stream, "answer"));
        }
        assert_int_equal(caller->told().size(), i % 4 < 2 ? 0 : 1);
        before = i == 1000 ? caller->context.memory().used : before;
    }
    static_cast<void>(caller->said());
    assert_true(caller->context.memory().used <= before + 4096);
    assert_int_equal(caller->session.waiting(), 0);
    assert_int_equal(caller->session.room(), 0xffffffff);
}

// What was told costs nothing any more: nobody has answers of this size but who wants it to cost.
void test_bodies_that_were_taken_are_not_kept(void** /*state*/) {
    const auto caller = Caller::greeted();
    const std::size_t before = ::mallinfo2().uordblks;
    std::uint32_t stream = 1;
    for (std::uint16_t tag = 0; tag < 500; ++tag, stream += 2) {
        caller->ask(tag, "question");
        static_cast<void>(caller->said());
        caller->feed(reply_head(stream, "200", message_type));
        for (int i = 0; i < 3; ++i) {
            caller->feed(data(stream, std::string(16384, 'x')));
        }
        caller->feed(data(stream, std::string(16000, 'x'), true));
        assert_int_equal(caller->told().size(), 1);
    }
    assert_true(::mallinfo2().uordblks < before + (4U << 20U)); // a sanitizer says 0
}

/// Whether a connection is sound whose memory ends `more` octets after it has got as far as `step`.
bool is_sound_with(std::uint16_t streams, int step, std::size_t more) {
    ClientContext context;
    const Target target{"dns.example", "/dns-query"};
    bool sound = false;
    {
        ClientSession session{context, target};
        const auto limit_at = [&](int now) {
            context.memory().most =
                now == step ? context.memory().used + more : context.memory().most;
        };
        session.fill();
        session.feed(octets_of(settings()));
        limit_at(0);
        for (std::uint16_t tag = 0; tag < streams; ++tag) {
            session.ask(tag, octets_of("question"));
        }
        limit_at(1);
        session.fill();
        limit_at(2);
        for (std::uint16_t tag = 0; tag < streams; tag += 2) {
            session.cancel(tag);
        }
        session.ping();
        session.fill();
        limit_at(3);
        session.feed(octets_of(reply(3, "answer") + ping() + rst(7) + goaway(9)));
        Event event;
        while (session.next(event)) {
        }
        session.fill();
        sound = session.is_sound();
        assert_true(session.room() == 0); // it leaves
        assert_true(sound || !session.reason().empty());
    }
    assert_int_equal(context.memory().used, 0);
    return sound;
}

// E50: wherever memory ends, the connection does, and nothing else.
void test_memory_may_end_anywhere(void** /*state*/) {
    for (const std::uint16_t streams : std::array<std::uint16_t, 4>{4, 5, 9, 33}) {
        for (int step = 0; step < 4; ++step) {
            std::set<bool> ends;
            for (std::size_t more = 0; more < 2048; more += 8) {
                ends.insert(is_sound_with(streams, step, more));
            }
            assert_true(ends.contains(false));
            assert_true(is_sound_with(streams, step, 1U << 20U));
        }
    }
    ClientContext context;
    context.memory().most = 0;
    const Target target{"dns.example", "/dns-query"};
    const ClientSession session{context, target};
    assert_false(session.is_sound());
    assert_int_equal(session.room(), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_frames_end_the_connection),
        cmocka_unit_test(test_push_before_settings_are_confirmed_is_reset),
        cmocka_unit_test(test_broken_peer_is_told),
        cmocka_unit_test(test_other_protocols_end_at_once),
        cmocka_unit_test(test_octets_may_come_one_by_one),
        cmocka_unit_test(test_floods_are_answered_or_end_the_connection),
        cmocka_unit_test(test_idle_talk_keeps_memory_flat),
        cmocka_unit_test(test_endless_head_keeps_memory_flat),
        cmocka_unit_test(test_many_requests_keep_memory_flat),
        cmocka_unit_test(test_bodies_that_were_taken_are_not_kept),
        cmocka_unit_test(test_memory_may_end_anywhere),
    };
    return cmocka_run_group_tests_name("http/client_faults", tests, nullptr, nullptr);
}
