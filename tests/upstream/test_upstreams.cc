// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Several connections and several upstreams: who is asked, what is asked again, what is given up.

#include "upstream/upstreams.hh"

#include "unit.hh"
#include "worker/rig_names.hh"

#include <string>

using namespace std::chrono_literals;
using dotproxy::max_sends;
using dotproxy::dns::ExtendedError;

namespace {

constexpr unsigned noerror = 0;
constexpr unsigned servfail = 2;

/// A query with an OPT, so that the reason of a failure comes with the answer.
Message edns_query(std::string_view name, std::uint16_t id) {
    dotproxy::dns::test::Message made = dotproxy::dns::test::query(name);
    made.opt();
    dotproxy::dns::set_id(made.mutable_octets(), id);
    return {made.octets().begin(), made.octets().end()};
}

/// The Extended DNS Error of an answer; -1 for none.
int error_code(const Message& answer) {
    const auto option = dotproxy::dns::test::find_option(answer, 15);
    return option.found ? dotproxy::dns::load16(option.data, 0) : -1;
}

/// Asks, and gives the answer once it is there; empty when it is not yet.
class Question {
  public:
    Question(Rig& rig, std::string_view name) : rig_{rig}, client_{rig.udp_address()} {
        client_.send(edns_query(name, 0x4242));
        for (int i = 0; i < 4; ++i) {
            rig.step();
        }
    }

    [[nodiscard]] Message answer() {
        Message message;
        static_cast<void>(rig_.until([&] { return !(message = client_.receive()).empty(); }));
        return message;
    }

    [[nodiscard]] bool is_answered() {
        rig_.step();
        return !client_.receive().empty();
    }

  private:
    Rig& rig_;
    UdpClient client_;
};

/// Connected and used a while ago.
void warm(Rig& rig) {
    rig.open();
    assert_int_equal(rcode(rig.resolve("warm.example")), noerror);
    rig.pass(1s);
}

void test_submit_then_the_first_upstream_is_asked(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    rig.open();
    assert_int_equal(rig.resolvers.size(), 2);
    assert_int_equal(rcode(rig.resolve("a.example")), noerror);
    assert_int_equal(first.asked_in_all, 1);
    assert_int_equal(second.sessions(), 0);
}

void test_submit_when_the_first_refuses_then_the_second_at_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    first.stop();
    rig.open();
    assert_int_equal(rcode(rig.resolve("a.example")), noerror); // without any time passing
    assert_int_equal(second.asked_in_all, 1);
}

// L33: a stalled handshake costs a quarter of a second, not the client's patience.
void test_submit_when_the_first_hangs_then_the_second_after_250_ms(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    first.shakes_hands = false;
    rig.open();
    Question question{rig, "a.example"};
    rig.pass(249ms);
    assert_false(question.is_answered());
    assert_int_equal(second.sessions(), 0);
    rig.pass(1ms);
    assert_int_equal(rcode(question.answer()), noerror);
    assert_int_equal(second.asked_in_all, 1);
}

// And it is over by the time for connecting, so that something else can be tried.
void test_connect_when_the_handshake_hangs_then_ended_in_time(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& only = rig.add_upstream();
    only.shakes_hands = false;
    rig.open();
    Question question{rig, "a.example"};
    rig.pass(1999ms);
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
    rig.pass(1ms);
    assert_int_equal(rig.count(UpstreamCounter::failed), 1);
    only.shakes_hands = true;
    assert_int_equal(rcode(question.answer()), noerror);
}

// The preferred upstream is taken back when it is up again, while there is traffic to it.
void test_submit_when_the_first_comes_back_then_it_serves_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    first.stop();
    rig.open();
    assert_int_equal(rcode(rig.resolve("a.example")), noerror);
    first.start();
    for (int i = 0; i < 50 && first.asked_in_all == 0; ++i) {
        rig.pass(100ms);
        assert_int_equal(rcode(rig.resolve("n" + std::to_string(i) + ".example")), noerror);
    }
    assert_int_equal(first.asked_in_all, 1);
    const std::size_t before = second.asked_in_all;
    assert_int_equal(rcode(rig.resolve("last.example")), noerror);
    assert_int_equal(second.asked_in_all, before);
}

// C13: what was in flight is asked again, on a new connection, without any time passing.
void test_close_when_queries_are_in_flight_then_they_are_asked_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig);
    resolver.answers = false;
    Question a{rig, "a.example"};
    Question b{rig, "b.example"};
    wait_for_queries(rig, resolver, 2);
    resolver.asked.clear();
    resolver.answers = true;
    resolver.close(0);
    assert_int_equal(rcode(a.answer()), noerror);
    assert_int_equal(rcode(b.answer()), noerror);
    assert_int_equal(rig.failures(), 0);
}

// L34: the upstream closes an idle connection at the moment a query goes out on it.
void test_close_when_it_crosses_a_query_then_nobody_notices(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig);
    for (std::size_t i = 0; i < 100; ++i) {
        rig.pass(9s);
        resolver.close(resolver.sessions() - 1, i % 2 == 0);
        assert_int_equal(rcode(rig.resolve("n" + std::to_string(i) + ".example")), noerror);
    }
    assert_int_equal(rig.failures(), 0);
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
}

// L81: at most so many sends, then the client is told.
void test_close_when_at_every_query_then_three_sends_and_servfail(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig);
    resolver.answers = false;
    Question question{rig, "poison.example"};
    for (std::size_t sends = 0; sends < max_sends; ++sends) {
        for (int i = 0; i < 20 && resolver.asked.empty(); ++i) {
            rig.pass(50ms);
            rig.step();
        }
        assert_int_equal(resolver.asked.size(), 1);
        resolver.close(resolver.take().session, false);
        rig.step();
    }
    const Message answer = question.answer();
    assert_int_equal(rcode(answer), servfail);
    assert_int_equal(error_code(answer), ExtendedError::network_error);
    rig.pass(5s);
    assert_int_equal(resolver.asked_in_all, 1 + max_sends);
    assert_true(rig.relay().idle());
}

// L80: a name that breaks each connection it is asked on does not keep others from their answers.
void test_close_when_always_for_one_name_then_the_others_are_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig);
    resolver.answers = false;
    const UdpClient poison{rig.udp_address()};
    for (int round = 0; round < 10; ++round) {
        const std::string number = std::to_string(round);
        poison.send(query("poison" + number + ".example", 1));
        Question good{rig, "good" + number + ".example"};
        for (int i = 0; i < 40; ++i) {
            rig.pass(10ms);
            // It dies of the one name before it answers anything that came along with it.
            for (const Asked& one : resolver.asked) {
                if (one.name.starts_with("poison")) {
                    resolver.close(one.session, false);
                }
            }
            for (const Asked& one : resolver.asked) {
                resolver.answer(one); // where it can
            }
            resolver.asked.clear();
        }
        assert_int_equal(rcode(good.answer()), noerror);
        rig.pass(500ms);
    }
    assert_true(rig.count(UpstreamCounter::connects) < 60);
}

// L31: it is the oldest unanswered query that counts; those that follow do not move the deadline.
void test_silence_when_queries_go_on_then_found_within_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    warm(rig);
    first.answers = false;
    Question oldest{rig, "n0.example"};
    wait_for_queries(rig, first, 1);
    for (int i = 1; i < 10; ++i) {
        rig.pass(100ms);
        const Question more{rig, "n" + std::to_string(i) + ".example"};
    }
    wait_for_queries(rig, first, 11); // and half way a probe
    rig.pass(99ms);
    assert_int_equal(second.asked_in_all, 0);
    rig.pass(1ms);
    assert_int_equal(rcode(oldest.answer()), noerror);
    assert_true(rig.until([&] { return second.asked_in_all == 10; }));
}

// An upstream that lets us in and then answers nothing, from the first query on.
void test_silence_when_from_the_first_query_then_the_second_upstream_is_asked(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    first.answers = false;
    rig.open();
    Question question{rig, "a.example"};
    wait_for_queries(rig, first, 1);
    rig.pass(2s);
    assert_int_equal(rcode(question.answer()), noerror);
    assert_int_equal(second.asked_in_all, 1);
}

// Other answers come: it is slow with one name, and has half of the client's patience for itself.
void test_silence_when_only_about_one_name_then_it_is_waited_for(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    warm(rig);
    first.answers = false;
    Question slow{rig, "slow.example"};
    wait_for_queries(rig, first, 1);
    const Asked one = first.take();
    first.answers = true;
    for (int i = 0; i < 4; ++i) {
        rig.pass(500ms);
        assert_int_equal(rcode(rig.resolve("n" + std::to_string(i) + ".example")), noerror);
    }
    first.answer(one);
    assert_int_equal(rcode(slow.answer()), noerror);
    assert_int_equal(second.sessions(), 0);
}

// L32: one that was silent has to answer before it is trusted with a client's question again.
void test_silence_when_over_then_a_probe_first(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& only = rig.add_upstream();
    warm(rig);
    only.answers = false;
    Question question{rig, "a.example"};
    wait_for_queries(rig, only, 1);
    only.asked.clear();
    rig.pass(1s);
    wait_for_queries(rig, only, 2);
    for (std::size_t session = 0; session < 2; ++session) { // on the silent one, on the next one
        assert_int_equal(only.asked[session].session, session);
        assert_string_equal(only.asked[session].name.c_str(),
                            ""); // the root's name servers: no client's name
    }
    only.answers = true;
    only.answer(only.asked[1]);
    assert_int_equal(rcode(question.answer()), noerror);
    assert_int_equal(rig.failures(), 0);
}

// C61: nobody is told anything who cannot prove to be the one, and the client hears at once.
void test_connect_when_untrusted_then_servfail_and_no_query(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& stranger = rig.add_upstream(false);
    rig.open();
    Question question{rig, "a.example"};
    const Message answer = question.answer();
    assert_int_equal(rcode(answer), servfail);
    assert_int_equal(error_code(answer), ExtendedError::no_reachable_authority);
    assert_int_equal(stranger.asked_in_all, 0);
    assert_int_equal(stranger.octets_received(0), 0);
}

void test_connect_when_untrusted_then_the_next_upstream_is_asked(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& stranger = rig.add_upstream(false);
    Resolver& second = rig.add_upstream();
    rig.open();
    assert_int_equal(rcode(rig.resolve("a.example")), noerror);
    assert_int_equal(stranger.asked_in_all, 0);
    assert_int_equal(second.asked_in_all, 1);
}

// A short outage is waited through: the client gets its answer, not the outage.
void test_outage_when_shorter_than_patience_then_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& only = rig.add_upstream();
    warm(rig);
    only.stop();
    rig.step();
    Question question{rig, "a.example"};
    rig.pass(3s);
    assert_false(question.is_answered());
    only.start();
    rig.pass(500ms);
    assert_int_equal(rcode(question.answer()), noerror);
}

// C61, L46: never silence. The answer comes before the client gives up.
void test_outage_when_longer_than_patience_then_servfail_with_the_reason(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& only = rig.add_upstream();
    warm(rig);
    only.stop();
    rig.step();
    Question question{rig, "a.example"};
    rig.pass(4499ms);
    assert_false(question.is_answered());
    rig.pass(1ms);
    const Message answer = question.answer();
    assert_int_equal(rcode(answer), servfail);
    assert_int_equal(error_code(answer), ExtendedError::network_error);
}

// L35: however many ask.
void test_outage_when_many_ask_then_connections_are_tried_seldom(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& only = rig.add_upstream();
    only.stop();
    rig.open();
    const UdpClient client{rig.udp_address()};
    for (int i = 0; i < 600; ++i) {
        client.send(query("n" + std::to_string(i) + ".example", 1));
        rig.step();
        rig.pass(100ms);
        while (!client.receive().empty()) {
        }
    }
    assert_in_range(rig.count(UpstreamCounter::connects), 20,
                    400); // in a minute, with 600 queries
}

// L36: after any time out of use it is found to be up again soon.
void test_outage_when_over_then_noticed_within_a_64th_of_it(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& only = rig.add_upstream();
    only.stop();
    rig.open();
    const UdpClient client{rig.udp_address()};
    for (int i = 0; i < 64; ++i) {
        client.send(query("n" + std::to_string(i) + ".example", 1));
        rig.step();
        rig.pass(1s);
    }
    only.start();
    rig.pass(1300ms); // a 64th of 64 s, and a quarter more
    assert_int_equal(rcode(rig.resolve("again.example")), noerror);
}

// A resolver closes after each few answers: a spare is there before the next question.
void test_close_when_idle_and_of_use_then_replaced_at_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig);
    for (int i = 0; i < 5; ++i) {
        assert_int_equal(rcode(rig.resolve("n" + std::to_string(i) + ".example")), noerror);
    }
    resolver.close(0);
    assert_true(rig.until([&] { return rig.count(UpstreamCounter::handshakes) == 2; }));
    resolver.close(1); // of no use so far: not replaced, or it would go on without end
    assert_true(rig.until([&] { return rig.count(Counter::upstream_connections) == 0; }));
    rig.pass(10s);
    assert_int_equal(rig.count(UpstreamCounter::connects), 2);
}

// C71, C72: the second connection resumes the session of the first.
void test_connect_when_again_then_resumed(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    warm(rig);
    resolver.close(0);
    rig.step();
    assert_int_equal(rcode(rig.resolve("a.example")), noerror);
    assert_int_equal(rig.count(UpstreamCounter::resumed), 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_submit_then_the_first_upstream_is_asked, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_submit_when_the_first_refuses_then_the_second_at_once,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_submit_when_the_first_hangs_then_the_second_after_250_ms, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_connect_when_the_handshake_hangs_then_ended_in_time,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_submit_when_the_first_comes_back_then_it_serves_again,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_close_when_queries_are_in_flight_then_they_are_asked_again, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_close_when_it_crosses_a_query_then_nobody_notices,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_close_when_at_every_query_then_three_sends_and_servfail, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_close_when_always_for_one_name_then_the_others_are_answered, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_silence_when_queries_go_on_then_found_within_a_second,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_silence_when_from_the_first_query_then_the_second_upstream_is_asked, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_silence_when_only_about_one_name_then_it_is_waited_for,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_silence_when_over_then_a_probe_first, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_connect_when_untrusted_then_servfail_and_no_query,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_connect_when_untrusted_then_the_next_upstream_is_asked,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_outage_when_shorter_than_patience_then_answered,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_outage_when_longer_than_patience_then_servfail_with_the_reason, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_outage_when_many_ask_then_connections_are_tried_seldom,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_outage_when_over_then_noticed_within_a_64th_of_it,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_close_when_idle_and_of_use_then_replaced_at_once,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_connect_when_again_then_resumed, make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("upstream/upstreams", tests, make_world, free_world);
}
