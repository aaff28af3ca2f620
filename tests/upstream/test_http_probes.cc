// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HttpWire: signs of life, and who is not waited for any more.

#include "upstream/http_line.hh"

#include <string>
#include <vector>

using dotproxy::Inquiry;
using dotproxy::QueryWire;
using namespace dotproxy::test;

namespace dns = dotproxy::dns;

namespace {

// E88: a ping first; where that is answered and nothing else, a probe.
void test_life_is_asked_for_with_a_ping_and_then_a_probe(void** /*state*/) {
    HttpLine line;
    assert_false(line.wire.is_probed());
    line.wire.ask_for_life();
    assert_true(line.wire.is_probed());
    const std::vector<Seen> said = line.written();
    assert_int_equal(said.size(), 1);
    assert_int_equal(said[0].type, NGHTTP2_PING);
    line.feed(frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, said[0].payload));
    assert_true(only(line).kind == Kind::alive);
    assert_false(line.wire.is_probed());

    line.wire.ask_for_life();
    assert_true(line.wire.is_probed());
    const std::string query = line.query();
    assert_int_equal(line.sent, 0);
    assert_int_equal(dns::load16(octets_of(query), 0), 0);
    assert_true(query.substr(dns::header_size, 5) == std::string("\0\0\2\0\1", 5)); // . NS
    assert_int_equal(line.wire.in_flight(), 0);
    line.feed(reply(1, answer_to("")));
    assert_true(only(line).kind == Kind::probe);
    assert_false(line.wire.is_probed());

    line.wire.ask_for_life(); // it has shown that it lives in full
    assert_int_equal(line.written().at(0).type, NGHTTP2_PING);
}

void test_answer_after_a_pong_is_as_good_as_a_probe(void** /*state*/) {
    HttpLine line;
    Asked inquiry;
    static_cast<void>(line.wire.send(inquiry));
    line.wire.ask_for_life();
    static_cast<void>(line.written());
    line.feed(ping(NGHTTP2_FLAG_ACK) + reply(1, answer_to()));
    assert_true(line.wire.next().kind == Kind::alive);
    line.wire.free(only(line).slot);
    line.wire.ask_for_life();
    assert_int_equal(line.written().at(0).type, NGHTTP2_PING);
}

void test_probe_that_comes_to_nothing_is_lost(void** /*state*/) {
    for (const std::string& octets : {reply_head(1, "404", "", true), rst(1), reply(1, "x")}) {
        HttpLine line;
        line.wire.send_probe();
        static_cast<void>(line.written());
        assert_true(line.wire.is_probed());
        line.feed(octets);
        const QueryWire::Arrival arrival = only(line);
        assert_true(arrival.kind == Kind::lost && arrival.inquiry == nullptr);
        assert_false(line.wire.is_probed());
        assert_int_equal(line.wire.in_flight(), 0);
    }
}

void test_forgotten_probe_is_told_of_no_more(void** /*state*/) {
    HttpLine line;
    line.wire.send_probe();
    static_cast<void>(line.written());
    line.wire.forget_probe();
    assert_false(line.wire.is_probed());
    assert_int_equal(line.wire.in_flight(), 0);
    assert_int_equal(line.written().at(0).type, NGHTTP2_RST_STREAM);
    line.feed(reply(1, answer_to("")));
    assert_true(line.wire.next().kind == Kind::nothing);
    line.wire.ask_for_life();
    line.wire.forget_probe();
    assert_false(line.wire.is_probed());
    line.wire.forget_probe();
}

// Nothing comes late over HTTP: the slot is free at once.
void test_forget_frees_the_slot(void** /*state*/) {
    HttpLine line;
    Asked first{"a.example"};
    Asked second{"b.example"};
    const std::uint16_t slot = line.wire.send(first);
    static_cast<void>(line.written());
    line.wire.forget(slot);
    assert_int_equal(line.wire.in_flight(), 0);
    assert_int_equal(line.wire.forgotten(), 0);
    assert_int_equal(line.wire.send(second), slot);
    line.feed(reply(1, answer_to("a.example")));
    assert_true(line.wire.next().kind == Kind::nothing);
    static_cast<void>(line.written());
    assert_int_equal(line.sent, 1);
    line.feed(reply(3, answer_to("b.example")));
    const QueryWire::Arrival arrival = only(line);
    assert_true(arrival.kind == Kind::answer && arrival.inquiry == &second);
}

void test_forget_before_it_is_written_sends_nothing(void** /*state*/) {
    HttpLine line;
    Asked inquiry;
    line.wire.forget(line.wire.send(inquiry));
    assert_true(line.written().empty());
    assert_int_equal(line.sent, 0);
    assert_int_equal(line.wire.waiting(), 0);
    assert_int_equal(line.wire.in_flight(), 0);
}

// E89
void test_messages_that_the_peer_does_not_take_wait(void** /*state*/) {
    HttpLine line{first_window(0)};
    Asked inquiry;
    const std::uint16_t slot = line.wire.send(inquiry);
    static_cast<void>(line.written());
    assert_int_equal(line.wire.waiting(), 128);
    assert_true(line.wire.queued().empty());
    line.wire.forget(slot);
    static_cast<void>(line.written());
    assert_int_equal(line.wire.waiting(), 0);
}

// C13: who releases them is told which of them the peer can have seen.
void test_release_then_each_is_told_whether_it_was_sent(void** /*state*/) {
    HttpLine line;
    Asked sent{"a.example"};
    Asked unsent{"b.example"};
    static_cast<void>(line.wire.send(sent));
    line.wire.send_probe(); // is no inquiry, and not counted as one
    static_cast<void>(line.written());
    assert_int_equal(line.sent, 1);
    static_cast<void>(line.wire.send(unsent));
    assert_int_equal(line.wire.in_flight(), 2);
    int visits = 0;
    line.wire.release_inquiries([&](Inquiry& inquiry, bool was_sent) {
        ++visits;
        assert_int_equal(was_sent, &inquiry == &sent);
    });
    assert_int_equal(visits, 2);
    line.wire.for_each_inquiry([](const Inquiry& /*inquiry*/) { fail_msg("one is left"); });
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_life_is_asked_for_with_a_ping_and_then_a_probe),
        cmocka_unit_test(test_answer_after_a_pong_is_as_good_as_a_probe),
        cmocka_unit_test(test_probe_that_comes_to_nothing_is_lost),
        cmocka_unit_test(test_forgotten_probe_is_told_of_no_more),
        cmocka_unit_test(test_forget_frees_the_slot),
        cmocka_unit_test(test_forget_before_it_is_written_sends_nothing),
        cmocka_unit_test(test_messages_that_the_peer_does_not_take_wait),
        cmocka_unit_test(test_release_then_each_is_told_whether_it_was_sent),
    };
    return cmocka_run_group_tests_name("upstream/http_probes", tests, nullptr, nullptr);
}
