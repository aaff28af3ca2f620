// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// One connection as a resolver sees it: what is asked on it, and what becomes of what it says.

#include "upstream/connection.hh"

#include "unit.hh"
#include "worker/rig_names.hh"

#include <algorithm>
#include <map>
#include <set>
#include <string>

using namespace std::chrono_literals;
using dotproxy::Slots;
using dotproxy::dns::test::Bytes;

namespace {

constexpr unsigned noerror = 0;
constexpr unsigned servfail = 2;

/// One upstream, connected, that leaves the answering to the test.
Resolver& warm(Rig& rig) {
    Resolver& resolver = rig.add_upstream();
    rig.open();
    assert_int_equal(rcode(rig.resolve("warm.example")), noerror);
    resolver.answers = false;
    rig.pass(1s); // it is some time since it was connected
    return resolver;
}

std::string name_of(std::size_t number) {
    return "n" + std::to_string(number) + ".example";
}

/// Asks so many different questions, and waits until the resolver has them all.
void ask(Rig& rig, Resolver& resolver, const UdpClient& client, std::size_t count) {
    const std::size_t before = resolver.asked.size();
    for (std::size_t i = 0; i < count; ++i) {
        client.send(query(name_of(i), static_cast<std::uint16_t>(i)));
        if (i % 32 == 31) {
            rig.step();
        }
    }
    assert_true(rig.until([&] { return resolver.asked.size() == before + count; }));
}

/// Waits for an answer; its ID.
unsigned answered_id(Rig& rig, const UdpClient& client) {
    Message answer = answer_to(rig, client);
    assert_int_equal(rcode(answer), noerror);
    return dotproxy::dns::id(answer);
}

// C7
void test_send_then_no_id_is_in_flight_twice(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    std::set<std::uint16_t> ids;
    for (int round = 0; round < 40; ++round) { // more than an ID's count of uses can hold
        ask(rig, resolver, client, 8);
        ids.clear();
        for (const Asked& one : resolver.asked) {
            ids.insert(one.id);
        }
        assert_int_equal(ids.size(), resolver.asked.size());
        // Half of them stay in flight, and with them their IDs.
        for (int i = 0; i < 4; ++i) {
            resolver.answer(resolver.take());
        }
        resolver.asked.resize(std::min<std::size_t>(resolver.asked.size(), 8));
        for (std::size_t i = 4; i < resolver.asked.size(); ++i) {
            resolver.answer(resolver.asked[i]);
        }
        resolver.asked.resize(4);
        for (int i = 0; i < 4; ++i) {
            resolver.answer(resolver.take());
        }
        assert_true(rig.until([&] { return rig.relay().idle(); }));
        while (!client.receive().empty()) {
        }
    }
    assert_int_equal(rig.count(UpstreamCounter::connects), 1);
    assert_int_equal(rig.count(UpstreamCounter::late), 0);
    assert_int_equal(rig.count(UpstreamCounter::broken), 0);
}

// C97: the first ID of a connection is not the same, and the next ones do not just count up.
void test_send_then_ids_cannot_be_told_in_advance(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    rig.open();
    resolver.answers = false;
    const UdpClient client{rig.udp_address()};
    std::set<std::uint16_t> first;
    for (int connection = 0; connection < 8; ++connection) {
        client.send(query(name_of(static_cast<std::size_t>(connection)), 1));
        assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
        const Asked one = resolver.take();
        first.insert(one.id);
        resolver.answer(one);
        assert_int_equal(answered_id(rig, client), 1);
        resolver.close(one.session);
        assert_true(rig.until([&] { return rig.count(Counter::upstream_connections) == 0; }));
    }
    // Of eight values out of 65536 two are equal once in 2,300 runs, five never.
    assert_true(first.size() >= 4);
}

// C98
void test_answer_when_its_client_gave_up_then_the_id_stays_taken_until_it(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    client.send(query("slow.example", 1));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    const Asked slow = resolver.take();
    // Something is heard all the time, so the upstream is only slow with that name.
    std::set<std::uint16_t> meanwhile;
    for (std::size_t i = 0; i < 12; ++i) {
        rig.pass(400ms);
        client.send(query(name_of(i), 2));
        assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
        meanwhile.insert(resolver.asked[0].id);
        assert_int_equal(resolver.asked[0].session, slow.session);
        resolver.answer(resolver.take());
        rig.step();
    }
    assert_true(rig.until([&] { return rig.relay().idle(); }));
    assert_int_equal(rig.failures(), 1); // slow.example
    assert_false(meanwhile.contains(slow.id));
    resolver.answer(slow);
    assert_true(rig.until([&] { return rig.count(UpstreamCounter::late) == 1; }));
    assert_true(resolver.is_open(slow.session));
}

// L85
void test_answer_when_it_comes_twice_then_the_second_is_ignored(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 2);
    const Asked first = resolver.take();
    const Asked second = resolver.take();
    resolver.answer(first);
    resolver.answer(first);
    resolver.answer(second);
    assert_int_equal(answered_id(rig, client), 0);
    assert_int_equal(answered_id(rig, client), 1);
    assert_true(client.receive().empty());
    assert_int_equal(rig.count(UpstreamCounter::late), 1);
    assert_int_equal(rig.count(UpstreamCounter::connects), 1);
}

// L85, where the place has been given to the next query already.
void test_answer_when_it_comes_twice_and_its_slot_is_used_again_then_ignored(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 1);
    const Asked first = resolver.take();
    resolver.answer(first);
    assert_int_equal(answered_id(rig, client), 0);
    client.send(query("next.example", 9));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    const Asked next = resolver.take();
    assert_int_not_equal(next.id, first.id);
    resolver.answer(first);
    resolver.answer(next);
    assert_int_equal(answered_id(rig, client), 9);
    assert_int_equal(rig.count(UpstreamCounter::late), 1);
    assert_int_equal(rig.count(UpstreamCounter::broken), 0);
}

// L83: the answers behind it cannot be trusted either; what was asked is asked again elsewhere.
void expect_closed_and_asked_again(Rig& rig, Resolver& resolver, const UdpClient& client) {
    assert_true(rig.until([&] { return !resolver.is_open(0) && resolver.asked.size() == 1; }));
    assert_int_equal(resolver.asked[0].session, 1);
    assert_int_equal(rig.count(UpstreamCounter::broken), 1);
    resolver.answer(resolver.take());
    assert_int_equal(answered_id(rig, client), 0);
}

void test_answer_when_its_id_was_never_used_then_closed_and_asked_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 1);
    Asked one = resolver.take();
    one.id ^= 0x0800U; // a slot that a connection with two queries in all has not reached
    resolver.answer(one);
    expect_closed_and_asked_again(rig, resolver, client);
}

void test_answer_when_to_another_question_then_closed_and_asked_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 1);
    Asked one = resolver.take();
    one.name = "other.example";
    resolver.answer(one);
    expect_closed_and_asked_again(rig, resolver, client);
}

void test_frame_when_too_short_for_a_header_then_closed_and_asked_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 1);
    resolver.asked.clear();
    resolver.send(0, Bytes{}.fill(11, 0).octets());
    expect_closed_and_asked_again(rig, resolver, client);
}

// L84: other answers do not help a frame that was begun.
void test_frame_when_it_does_not_end_then_closed_within_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 2);
    const Asked first = resolver.take();
    resolver.asked.clear();
    rig.pass(100ms);
    const auto message = right_answer(first);
    resolver.send_raw(0, Bytes{}.u16(static_cast<unsigned>(message.size()) + 100).octets());
    resolver.send_raw(0, message.octets());
    rig.step();
    rig.step();
    rig.pass(999ms);
    assert_true(resolver.is_open(0));
    resolver.asked.clear(); // a probe, which the silence asked for
    rig.pass(1ms);
    assert_true(rig.until([&] { return !resolver.is_open(0) && resolver.asked.size() == 2; }));
    assert_int_equal(rig.count(UpstreamCounter::broken), 1);
}

void test_frame_when_it_comes_octet_by_octet_then_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 1);
    const auto message = right_answer(resolver.take());
    Bytes frame;
    frame.u16(static_cast<unsigned>(message.size())).raw(message.octets());
    for (std::size_t i = 0; i < frame.size(); ++i) {
        resolver.send_raw(0, frame.octets().subspan(i, 1));
        rig.step();
    }
    assert_int_equal(answered_id(rig, client), 0);
}

// G1: epoll does not tell of what is inside the session already.
void test_frames_when_several_in_one_record_then_all_are_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 5);
    Bytes record;
    while (!resolver.asked.empty()) {
        const auto message = right_answer(resolver.take());
        record.u16(static_cast<unsigned>(message.size())).raw(message.octets());
    }
    resolver.send_raw(0, record.octets());
    std::set<unsigned> ids;
    for (int i = 0; i < 5; ++i) {
        ids.insert(answered_id(rig, client));
    }
    assert_int_equal(ids.size(), 5);
}

// C6
void test_answers_when_out_of_order_then_each_to_its_own_question(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 4);
    while (!resolver.asked.empty()) {
        resolver.answer(resolver.asked.back());
        resolver.asked.pop_back();
    }
    for (const unsigned id : {3U, 2U, 1U, 0U}) {
        assert_int_equal(answered_id(rig, client), id);
    }
}

// All queries of a turn leave in one record (L34's cousin: resolved's two records per query).
void test_flush_then_one_record_for_all_queries_of_a_turn(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const std::uint64_t before = rig.count(UpstreamCounter::records);
    const UdpClient client{rig.udp_address()};
    for (std::size_t i = 0; i < 20; ++i) {
        client.send(query(name_of(i), 1));
    }
    assert_true(rig.until([&] { return resolver.asked.size() == 20; }));
    assert_true(rig.count(UpstreamCounter::records) - before <= 2);
}

// C53
void test_keepalive_when_zero_then_no_new_queries_and_closed_when_drained(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 2);
    resolver.answer_with_keepalive(resolver.take(), 0);
    assert_int_equal(answered_id(rig, client), 0);
    client.send(query("new.example", 7));
    assert_true(rig.until([&] { return resolver.asked.size() == 2; }));
    assert_int_equal(resolver.asked[0].session, 0);
    assert_int_equal(resolver.asked[1].session, 1); // on a connection of its own
    assert_true(resolver.is_open(0));
    resolver.answer(resolver.take());
    assert_int_equal(answered_id(rig, client), 1); // what was asked before is still answered
    assert_true(rig.until([&] { return !resolver.is_open(0); }));
    assert_true(resolver.left_in_order(0));
    assert_true(resolver.is_open(1));
}

// C53: closed a little before the upstream would, so that its close does not meet a query (L34).
void test_keepalive_when_given_then_closed_a_little_before(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 1);
    resolver.answer_with_keepalive(resolver.take(), 50); // 5 s
    assert_int_equal(answered_id(rig, client), 0);
    rig.pass(4499ms);
    rig.step();
    assert_true(resolver.is_open(0));
    rig.pass(1ms);
    assert_true(rig.until([&] { return !resolver.is_open(0); }));
    assert_true(resolver.left_in_order(0));
}

void test_idle_then_closed_after_the_configured_time(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    rig.pass(28'999ms);
    rig.step();
    assert_true(resolver.is_open(0));
    rig.pass(1ms);
    assert_true(rig.until([&] { return !resolver.is_open(0); }));
    assert_true(resolver.left_in_order(0)); // C73
    assert_int_equal(rig.count(Counter::upstream_connections), 0);
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
}

// RFC 7828: the option is in the first query of a connection, and only there.
void test_send_then_only_the_first_query_asks_for_the_keepalive_time(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    rig.open();
    resolver.answers = false;
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 2);
    assert_int_equal(dotproxy::dns::test::find_option(resolver.asked[0].message, 11).count, 1);
    assert_int_equal(dotproxy::dns::test::find_option(resolver.asked[1].message, 11).count, 0);
}

// C99, L30: what a connection holds is bounded; the rest waits for room and is not lost.
void test_send_when_all_slots_are_taken_then_the_rest_waits(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    constexpr std::size_t over = 10;
    constexpr std::size_t most = Slots::capacity - 1; // one is kept for a probe
    for (std::size_t i = 0; i < most + over; ++i) {
        client.send(query(name_of(i), static_cast<std::uint16_t>(i)));
        if (i % 32 == 31) {
            rig.step();
        }
    }
    assert_true(rig.until([&] { return resolver.asked.size() == most; }));
    for (std::size_t i = 0; i < over; ++i) {
        resolver.answer(resolver.take());
    }
    assert_true(rig.until([&] { return resolver.asked.size() == most; }));
    assert_int_equal(resolver.asked_in_all, 1 + most + over);
    // The peer proves that it lives, though it leaves all those questions unanswered.
    rig.pass(500ms);
    assert_int_equal(resolver.asked.size(), most + 1);
    resolver.answer(resolver.asked.back());
    rig.pass(400ms);
    assert_true(resolver.is_open(0));
    assert_int_equal(rig.count(UpstreamCounter::broken), 0);
    assert_int_equal(rig.count(FailureReason::overload), 0);
}

// A signed query leaves as it came, but for the ID (C25).
void test_send_when_sealed_then_octet_by_octet(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    dotproxy::dns::test::Message sent = dotproxy::dns::test::query("signed.example");
    Bytes rdata;
    rdata.name("hmac-sha256").u16(0).u32(1).u16(300).u16(4).u32(7).u16(0x1234).u16(0).u16(0);
    sent.record(dotproxy::dns::test::Section::additional, "key", dotproxy::dns::type::tsig,
                rdata.octets(), dotproxy::dns::klass::any);
    client.send(sent.octets());
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    Message got = resolver.asked[0].message;
    dotproxy::dns::set_id(got, 0x1234);
    assert_true(std::ranges::equal(got, sent.octets()));
    resolver.answer(resolver.take());
    assert_int_equal(answered_id(rig, client), 0x1234);
}

// L82: an answer that is refused is SERVFAIL at once, and the stream goes on.
void test_answer_when_it_is_truncated_then_servfail_and_the_stream_goes_on(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = warm(rig);
    const UdpClient client{rig.udp_address()};
    ask(rig, resolver, client, 2);
    auto message = right_answer(resolver.take());
    dotproxy::dns::set_flags(message.mutable_octets(), 0x8380); // TC (C39)
    resolver.send(0, message.octets());
    assert_int_equal(rcode(answer_to(rig, client)), servfail);
    assert_int_equal(rig.count(UpstreamCounter::refused), 1);
    resolver.answer(resolver.take());
    assert_int_equal(answered_id(rig, client), 1);
    assert_int_equal(rig.count(UpstreamCounter::connects), 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_send_then_no_id_is_in_flight_twice, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_send_then_ids_cannot_be_told_in_advance, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(
            test_answer_when_its_client_gave_up_then_the_id_stays_taken_until_it, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_answer_when_it_comes_twice_then_the_second_is_ignored,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_answer_when_it_comes_twice_and_its_slot_is_used_again_then_ignored, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_answer_when_its_id_was_never_used_then_closed_and_asked_again, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_answer_when_to_another_question_then_closed_and_asked_again, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_frame_when_too_short_for_a_header_then_closed_and_asked_again, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_frame_when_it_does_not_end_then_closed_within_a_second,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_frame_when_it_comes_octet_by_octet_then_answered,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_frames_when_several_in_one_record_then_all_are_answered, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_answers_when_out_of_order_then_each_to_its_own_question, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_flush_then_one_record_for_all_queries_of_a_turn,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_keepalive_when_zero_then_no_new_queries_and_closed_when_drained, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_keepalive_when_given_then_closed_a_little_before,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_idle_then_closed_after_the_configured_time, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(
            test_send_then_only_the_first_query_asks_for_the_keepalive_time, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_send_when_all_slots_are_taken_then_the_rest_waits,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_send_when_sealed_then_octet_by_octet, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(
            test_answer_when_it_is_truncated_then_servfail_and_the_stream_goes_on, make_rig,
            free_rig),
    };
    return cmocka_run_group_tests_name("upstream/connection", tests, make_world, free_world);
}
