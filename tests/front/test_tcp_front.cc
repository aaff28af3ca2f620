// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TCP clients: how they ask, are answered, and end.

#include "front/tcp_front.hh"

#include "front/tcp_clients.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <array>
#include <set>

using namespace std::chrono_literals;
using dotproxy::test::answer_to;
using dotproxy::test::closed;
using dotproxy::test::connect;
using dotproxy::test::exchange;
using dotproxy::test::name_of;
using dotproxy::test::serve;

namespace {

constexpr unsigned notimp = 4;

// C4
void test_query_when_answered_then_the_next_one_too(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect(rig);
    for (std::uint16_t id = 1; id <= 5; ++id) {
        exchange(rig, *client, id);
    }
    assert_int_equal(rig.count(Counter::tcp_queries), 5);
    assert_int_equal(rig.count(Counter::tcp_answers), 5);
    assert_int_equal(rig.count(Counter::tcp_clients), 1);
}

// C2
void test_query_when_octet_by_octet_then_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect(rig);
    const Message frame = TcpClient::frame(query("www.example", 3));
    for (const std::uint8_t octet : frame) {
        client->send_raw({&octet, 1});
        rig.step();
    }
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), 3);
}

// A worker that is woken again and again by what it cannot use yet takes a whole processor.
void test_query_when_only_half_of_it_came_then_the_worker_rests(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect(rig);
    const Message frame = TcpClient::frame(query("www.example", 3));
    client->send_raw(std::span{frame}.first(9));
    for (int i = 0; i < 5; ++i) {
        rig.step();
    }
    assert_true(rig.nearest() > rig.now());
    rig.pass(1s);
    client->send_raw(std::span{frame}.subspan(9));
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), 3);
}

// C5, C6
void test_queries_when_pipelined_then_a_slow_one_holds_up_none(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto client = connect(rig);
    client->send(query("slow.example", 1));
    client->send(query("fast.example", 2));
    assert_true(rig.until([&] { return resolver.asked.size() == 2; }));
    const Asked slow = resolver.take();
    resolver.answer(resolver.take());
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), 2);
    resolver.answer(slow);
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), 1);
}

// C24: the largest message there is.
void test_answer_when_65535_octets_then_whole(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto client = connect(rig);
    client->send(query("large.example", 1, dotproxy::dns::type::txt));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    const Asked one = resolver.take();
    dotproxy::dns::test::Message message = right_answer(one);
    constexpr std::size_t record = 12 + 1000;
    while (message.size() + record <= 65535 - 12) {
        message.pointer(dotproxy::dns::header_size);
        message.u16(dotproxy::dns::type::txt).u16(1).u32(300).u16(1000);
        message.fill(1000, 0); // strings of no octets
        message.count(dotproxy::dns::test::Section::answer);
    }
    const std::size_t rest = 65535 - message.size() - 12;
    message.pointer(dotproxy::dns::header_size);
    message.u16(dotproxy::dns::type::txt).u16(1).u32(300).u16(static_cast<unsigned>(rest));
    message.fill(rest, 0); // strings of no octets
    message.count(dotproxy::dns::test::Section::answer);
    resolver.send(one.session, message.octets());
    const Message answer = answer_to(rig, *client);
    assert_int_equal(answer.size(), 65535);
    assert_true(std::ranges::equal(std::span{answer}.subspan(12), message.octets().subspan(12)));
}

// L26: from accept to the first whole query; octets do not extend it.
void test_client_when_it_never_asks_then_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto silent = connect(rig);
    const auto slow = connect(rig);
    const Message frame = TcpClient::frame(query("www.example", 3));
    for (std::size_t i = 0; i < 10; ++i) {
        slow->send_raw(std::span{frame}.subspan(i, 1));
        rig.step();
        rig.pass(i < 9 ? 1000ms : 999ms);
    }
    rig.step();
    assert_int_equal(rig.count(Counter::tcp_clients), 2);
    rig.pass(1ms);
    assert_true(closed(rig, *silent));
    assert_true(closed(rig, *slow));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 2);
    assert_int_equal(rig.count(Counter::tcp_clients), 0);
}

// C10, C11: ten seconds from the last answer; the first octets of a query do not count.
void test_client_when_idle_then_closed_after_the_configured_time(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect(rig);
    exchange(rig, *client, 1);
    rig.pass(9s);
    exchange(rig, *client, 2); // starts it anew
    rig.pass(5s);
    const std::array<std::uint8_t, 2> begun{0, 29};
    client->send_raw(begun);
    rig.step();
    rig.pass(4999ms);
    rig.step();
    assert_int_equal(rig.count(Counter::tcp_clients), 1);
    rig.pass(1ms);
    assert_true(closed(rig, *client));
    assert_int_equal(rig.count(Counter::tcp_clients), 0);
}

// Time is not idle while an answer is due.
void test_client_when_its_answer_takes_long_then_not_idle(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.timeouts.client_idle = 1s;
    Resolver& resolver = serve(rig);
    const auto client = connect(rig);
    exchange(rig, *client, 1);
    resolver.answers = false;
    client->send(query("slow.example", 2));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    rig.pass(900ms);
    rig.step();
    rig.pass(900ms);
    resolver.answer(resolver.take());
    assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), 2);
    rig.pass(999ms);
    rig.step();
    assert_false(client->is_closed());
    rig.pass(1ms);
    assert_true(closed(rig, *client));
}

// C12: nc and many a script end their side as soon as they have asked.
void test_client_when_it_ends_its_side_then_answered_and_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto client = connect(rig);
    client->send(query("a.example", 1));
    client->send(query("b.example", 2));
    client->end_writing();
    assert_true(rig.until([&] { return resolver.asked.size() == 2; }));
    for (int i = 0; i < 5; ++i) {
        rig.step();
    }
    rig.pass(100ms); // and meanwhile it is not woken by the end that it has seen
    resolver.answer(resolver.take());
    resolver.answer(resolver.take());
    answer_to(rig, *client);
    answer_to(rig, *client);
    assert_true(closed(rig, *client));
    assert_int_equal(rig.count(Counter::tcp_clients), 0);
}

// L46: more queries than may be in flight at a time, all of them sent before the end.
void test_client_when_it_ends_its_side_with_queries_held_back_then_all_are_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries_per_client = 4;
    serve(rig);
    const auto client = connect(rig);
    Message all;
    for (std::uint16_t id = 0; id < 20; ++id) {
        const Message frame = TcpClient::frame(query(name_of(id), id));
        all.insert(all.end(), frame.begin(), frame.end());
    }
    client->send_raw(all);
    client->end_writing();
    std::set<unsigned> ids;
    assert_true(rig.until([&] {
        for (Message answer = client->receive(); !answer.empty(); answer = client->receive()) {
            ids.insert(dotproxy::dns::id(answer));
        }
        return client->is_closed();
    }));
    assert_int_equal(ids.size(), 20);
}

// C12: nobody is there to be answered.
void test_client_when_it_resets_then_its_answers_are_not_sent(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto client = connect(rig);
    client->send(query("a.example", 1));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    client->reset();
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 0; }));
    const auto other = connect(rig); // takes the place, and must not get the answer
    resolver.answer(resolver.take());
    assert_true(rig.until([&] { return rig.count(Counter::clients_gone) == 1; }));
    assert_true(other->receive().empty());
    assert_int_equal(rig.count(Counter::tcp_answers), 0);
}

// C17: after a length that no message has, nothing in the stream can be trusted.
void test_client_when_its_frame_is_no_message_then_answered_so_far_and_closed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    for (std::uint8_t length = 0; length < 12; ++length) {
        const auto client = connect(rig);
        client->send(query("a.example", 7));
        assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
        Message bad{0, length};
        bad.resize(2U + length);
        client->send_raw(bad);
        client->send(query("behind.example", 8));
        for (int i = 0; i < 3; ++i) {
            rig.step();
        }
        resolver.answer(resolver.take());
        assert_int_equal(dotproxy::dns::id(answer_to(rig, *client)), 7);
        assert_true(closed(rig, *client));
    }
    assert_true(resolver.asked.empty());
    assert_int_equal(rig.count(Counter::dropped), 12);
}

// C114: what is not implemented costs the connection nothing.
void test_client_when_it_asks_with_another_opcode_then_notimp_and_goes_on(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect(rig);
    Message dso = query("www.example", 5);
    dso[2] = 6 << 3;
    client->send(dso);
    assert_int_equal(rcode(answer_to(rig, *client)), notimp);
    exchange(rig, *client, 6);
}

// A response gets no answer (C28), and does not count against the client.
void test_client_when_it_sends_responses_then_dropped_and_it_may_still_ask(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries_per_client = 2;
    serve(rig);
    const auto client = connect(rig);
    Message response = query("www.example", 5);
    response[2] |= 0x80U;
    for (int i = 0; i < 8; ++i) {
        client->send(response);
    }
    exchange(rig, *client, 6);
    assert_int_equal(rig.count(Counter::dropped), 8);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_query_when_answered_then_the_next_one_too, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_query_when_octet_by_octet_then_answered, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_query_when_only_half_of_it_came_then_the_worker_rests,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_queries_when_pipelined_then_a_slow_one_holds_up_none,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_answer_when_65535_octets_then_whole, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_it_never_asks_then_closed, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_idle_then_closed_after_the_configured_time,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_its_answer_takes_long_then_not_idle,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_it_ends_its_side_then_answered_and_closed,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_it_ends_its_side_with_queries_held_back_then_all_are_answered,
            make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_it_resets_then_its_answers_are_not_sent,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_its_frame_is_no_message_then_answered_so_far_and_closed, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_it_asks_with_another_opcode_then_notimp_and_goes_on, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_client_when_it_sends_responses_then_dropped_and_it_may_still_ask, make_rig,
            free_rig),
    };
    return cmocka_run_group_tests_name("front/tcp_front", tests, make_world, free_world);
}
