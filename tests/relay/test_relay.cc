// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What becomes of a query: answered here, joined to another, forwarded, refused; and exactly one
// answer for each.

#include "relay/relay.hh"

#include "unit.hh"
#include "worker/rig_names.hh"

#include <algorithm>
#include <string>

using namespace std::chrono_literals;
using dotproxy::dns::test::Bytes;

namespace {

constexpr unsigned noerror = 0;
constexpr unsigned formerr = 1;
constexpr unsigned servfail = 2;
constexpr unsigned nxdomain = 3;
constexpr unsigned notimp = 4;

/// One upstream that leaves the answering to the test.
Resolver& serve(Rig& rig) {
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    return resolver;
}

/// The octets of the question of a message with one.
std::span<const std::uint8_t> question_of(const Message& message) {
    const std::size_t end = dotproxy::dns::test::layout(message).question_end;
    return std::span{message}.subspan(12, end - 12);
}

// C95, C31: one question upstream; each asker gets it with his own ID and spelling.
void test_ask_when_the_same_is_in_flight_then_sent_once_and_everybody_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const UdpClient first{rig.udp_address()};
    const UdpClient second{rig.udp_address()};
    TcpClient third{rig.tcp_address()};
    const Message one = query("www.example", 1);
    const Message two = query("WWW.eXample", 2);
    const Message three = query("wwW.exampLE", 3);
    first.send(one);
    second.send(two);
    third.send(three);
    assert_true(rig.until([&] { return rig.count(Counter::joined) == 2; }));
    wait_for_queries(rig, resolver, 1);
    assert_string_equal(resolver.asked[0].name.c_str(), "www.example");
    resolver.answer(resolver.take());
    const Message got_one = answer_to(rig, first);
    const Message got_two = answer_to(rig, second);
    Message got_three;
    assert_true(rig.until([&] { return !(got_three = third.receive()).empty(); }));
    assert_int_equal(dotproxy::dns::id(got_one), 1);
    assert_int_equal(dotproxy::dns::id(got_two), 2);
    assert_int_equal(dotproxy::dns::id(got_three), 3);
    assert_true(std::ranges::equal(question_of(got_one), question_of(one)));
    assert_true(std::ranges::equal(question_of(got_two), question_of(two)));
    assert_true(std::ranges::equal(question_of(got_three), question_of(three)));
    assert_int_equal(resolver.asked_in_all, 1);
    assert_true(rig.relay().idle());
}

// C36, C41, C95: the limit and the OPT are each asker's own.
void test_ask_when_joined_then_each_by_his_own_limit(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const UdpClient plain{rig.udp_address()};
    const UdpClient edns{rig.udp_address()};
    TcpClient stream{rig.tcp_address()};
    const Message text = query("large.example", 1, dotproxy::dns::type::txt);
    dotproxy::dns::test::Message with_opt =
        dotproxy::dns::test::query("large.example", dotproxy::dns::type::txt);
    with_opt.opt({}, 4096);
    plain.send(text);
    edns.send(with_opt.octets());
    stream.send(text);
    assert_true(rig.until([&] { return rig.count(Counter::joined) == 2; }));
    wait_for_queries(rig, resolver, 1);
    dotproxy::dns::test::Message message = right_answer(resolver.asked[0]);
    const Bytes rdata = Bytes{}.u8(250).fill(250, 0x41);
    for (int i = 0; i < 3; ++i) { // about 830 octets: too much for 512, not for 1232
        message.at(12, dotproxy::dns::test::Section::answer, dotproxy::dns::type::txt,
                   rdata.octets());
    }
    resolver.send(0, message.octets());
    const Message to_plain = answer_to(rig, plain);
    const Message to_edns = answer_to(rig, edns);
    Message to_stream;
    assert_true(rig.until([&] { return !(to_stream = stream.receive()).empty(); }));
    constexpr unsigned tc = dotproxy::dns::flag::truncated;
    assert_true(to_plain.size() <= 512);
    assert_true((dotproxy::dns::flags(to_plain) & tc) != 0);
    assert_true((dotproxy::dns::flags(to_edns) & tc) == 0);
    assert_int_equal(dotproxy::dns::ancount(to_edns), 3);
    assert_true((dotproxy::dns::flags(to_stream) & tc) == 0);
    assert_int_equal(dotproxy::dns::test::layout(to_plain).opts, 0);
    assert_int_equal(dotproxy::dns::test::layout(to_edns).opts, 1);
    assert_int_equal(dotproxy::dns::test::layout(to_stream).opts, 0);
    assert_int_equal(rig.count(Counter::truncated), 1);
}

// C25: signatures are over what one client sent; no answer to it is anybody else's.
void test_ask_when_signed_then_never_joined(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const UdpClient client{rig.udp_address()};
    dotproxy::dns::test::Message sealed = dotproxy::dns::test::query("www.example");
    Bytes rdata;
    rdata.name("hmac-sha256").u16(0).u32(1).u16(300).u16(4).u32(7).u16(0x1234).u16(0).u16(0);
    sealed.record(dotproxy::dns::test::Section::additional, "key", dotproxy::dns::type::tsig,
                  rdata.octets(), dotproxy::dns::klass::any);
    client.send(sealed.octets());
    client.send(sealed.octets());
    client.send(query("www.example", 5));
    wait_for_queries(rig, resolver, 3);
    assert_int_equal(rig.count(Counter::joined), 0);
}

// C96
void test_ask_when_too_many_wait_for_one_question_then_servfail_for_the_rest(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const UdpClient client{rig.udp_address()};
    constexpr std::size_t most = 4096;
    for (std::size_t i = 0; i < most; ++i) {
        client.send(query("www.example", static_cast<std::uint16_t>(1000 + i)));
        if (i % 64 == 63) {
            rig.step();
        }
    }
    assert_true(rig.until([&] { return rig.count(Counter::queries_waiting) == most; }));
    assert_true(client.receive().empty());
    client.send(query("www.example", 9));
    assert_int_equal(rcode(answer_to(rig, client)), servfail);
    assert_int_equal(rig.count(FailureReason::overload), 1);
    client.send(query("other.example", 10)); // another question is not held back
    wait_for_queries(rig, resolver, 2);
    resolver.answer(resolver.take());
    // Counted where they are sent: the client's socket does not hold so many.
    assert_true(rig.until([&] { return rig.count(Counter::udp_answers) == 1 + most; }));
    assert_int_equal(rig.failures(), 1);
    assert_int_equal(rig.count(Counter::queries_waiting), 1);
}

void test_ask_when_all_places_are_taken_then_servfail_at_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries = 4;
    Resolver& resolver = serve(rig);
    const UdpClient client{rig.udp_address()};
    for (std::uint16_t id = 0; id < 4; ++id) {
        client.send(query("n" + std::to_string(id) + ".example", id));
    }
    wait_for_queries(rig, resolver, 4);
    const UdpClient late{rig.udp_address()};
    late.send(query("late.example", 77));
    const Message refused = answer_to(rig, late);
    assert_int_equal(dotproxy::dns::id(refused), 77);
    assert_int_equal(rcode(refused), servfail);
    assert_int_equal(rig.count(FailureReason::overload), 1);
    resolver.answer(resolver.take());
    assert_int_equal(rcode(answer_to(rig, client)), noerror);
    late.send(query("late.example", 78)); // and there is a place again
    wait_for_queries(rig, resolver, 4);
}

// L31: a query that the upstream has lost is not what those wait for who ask after it.
void test_ask_when_the_query_was_lost_then_asked_anew_for_those_who_came_later(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const UdpClient first{rig.udp_address()};
    const UdpClient second{rig.udp_address()};
    first.send(query("lost.example", 1));
    wait_for_queries(rig, resolver, 1);
    static_cast<void>(resolver.take());
    resolver.answers = true; // it lives
    rig.pass(2s);
    second.send(query("lost.example", 2));
    assert_true(rig.until([&] { return rig.count(Counter::joined) == 1; }));
    rig.pass(2500ms);
    assert_int_equal(rcode(answer_to(rig, first)), servfail);
    assert_int_equal(rcode(answer_to(rig, second)), noerror);
    assert_int_equal(rig.count(Counter::queries_waiting), 0);
}

// A little before a stub with the same time-out gives up; each client has his own patience.
void test_ask_when_no_answer_then_servfail_at_nine_tenths_of_the_time(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const UdpClient first{rig.udp_address()};
    const UdpClient second{rig.udp_address()};
    first.send(query("www.example", 1));
    wait_for_queries(rig, resolver, 1);
    rig.pass(2s);
    second.send(query("www.example", 2));
    assert_true(rig.until([&] { return rig.count(Counter::joined) == 1; }));
    rig.pass(2499ms);
    assert_true(first.receive().empty());
    rig.pass(1ms);
    assert_int_equal(rcode(answer_to(rig, first)), servfail);
    rig.pass(1999ms);
    assert_true(second.receive().empty());
    rig.pass(1ms);
    assert_int_equal(rcode(answer_to(rig, second)), servfail);
    assert_true(rig.relay().idle());
    assert_int_equal(rig.count(Counter::queries_waiting), 0);
    assert_int_equal(rig.failures(), 2);
}

// L46: who has been told SERVFAIL is not told anything else later.
void test_answer_when_too_late_then_not_sent(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const UdpClient client{rig.udp_address()};
    client.send(query("www.example", 1));
    wait_for_queries(rig, resolver, 1);
    const Asked first = resolver.asked[0];
    rig.pass(4500ms);
    assert_int_equal(rcode(answer_to(rig, client)), servfail);
    resolver.answers = true;
    for (const Asked& one : resolver.asked) {
        resolver.answer(one);
    }
    assert_int_equal(rcode(rig.resolve("other.example")), noerror);
    assert_true(client.receive().empty());
}

void test_ask_when_about_a_local_name_then_answered_here(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.local_zones = true;
    Resolver& resolver = serve(rig);
    const UdpClient client{rig.udp_address()};
    client.send(query("host.invalid", 4)); // RFC 6761, section 6.4
    const Message answer = answer_to(rig, client);
    assert_int_equal(dotproxy::dns::id(answer), 4);
    assert_int_equal(rcode(answer), nxdomain);
    assert_int_equal(rig.count(Counter::local_answers), 1);
    assert_int_equal(resolver.sessions(), 0);
}

void test_ask_when_malformed_or_unknown_then_told_so(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const UdpClient client{rig.udp_address()};
    Message trailing = query("www.example", 1);
    trailing.push_back(0);
    client.send(trailing); // C30
    assert_int_equal(rcode(answer_to(rig, client)), formerr);
    Message update = query("www.example", 2);
    update[2] = 5 << 3;
    client.send(update); // C27
    assert_int_equal(rcode(answer_to(rig, client)), notimp);
    dotproxy::dns::test::Message newer = dotproxy::dns::test::query("www.example");
    newer.opt({}, 1232, 1U << 16U);
    client.send(newer.octets()); // C42
    const Message badvers = answer_to(rig, client);
    const std::size_t opt = dotproxy::dns::test::layout(badvers).opt;
    assert_int_not_equal(opt, 0);
    assert_int_equal(badvers[opt + 5], 1); // 16 = 1 << 4 | 0
    assert_int_equal(rig.count(Counter::format_errors), 3);
    assert_int_equal(resolver.sessions(), 0);
}

// C28, C29
void test_ask_when_no_query_then_no_answer(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const UdpClient client{rig.udp_address()};
    Message response = query("www.example", 1);
    response[2] |= 0x80U;
    client.send(response);
    client.send(Message(11));
    client.send(Message{});
    assert_true(rig.until([&] { return rig.count(Counter::dropped) == 3; }));
    Message update = query("www.example", 2);
    update[2] = 5 << 3;
    client.send(update);
    assert_int_equal(dotproxy::dns::id(answer_to(rig, client)), 2); // the first that there is
}

void test_fail_all_then_everybody_is_told(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const UdpClient first{rig.udp_address()};
    const UdpClient second{rig.udp_address()};
    for (std::uint16_t id = 0; id < 20; ++id) {
        const Message one = query("n" + std::to_string(id / 2) + ".example", id);
        (id % 2 == 0 ? first : second).send(one);
    }
    wait_for_queries(rig, resolver, 10);
    rig.in_turn([&] { rig.relay().fail_all(); });
    assert_true(rig.relay().idle());
    for (int i = 0; i < 10; ++i) {
        assert_int_equal(rcode(answer_to(rig, first)), servfail);
        assert_int_equal(rcode(answer_to(rig, second)), servfail);
    }
    assert_int_equal(rig.count(Counter::queries_waiting), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_ask_when_the_same_is_in_flight_then_sent_once_and_everybody_answered, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_joined_then_each_by_his_own_limit, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_signed_then_never_joined, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_ask_when_too_many_wait_for_one_question_then_servfail_for_the_rest, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_all_places_are_taken_then_servfail_at_once,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_ask_when_the_query_was_lost_then_asked_anew_for_those_who_came_later, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_ask_when_no_answer_then_servfail_at_nine_tenths_of_the_time, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_answer_when_too_late_then_not_sent, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_about_a_local_name_then_answered_here,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_malformed_or_unknown_then_told_so, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_no_query_then_no_answer, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_fail_all_then_everybody_is_told, make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("relay/relay", tests, make_world, free_world);
}
