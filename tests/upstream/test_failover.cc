// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// An upstream that answers with an error: when, and how often, the next one is asked, and what is
// told in the end.

#include "upstream/failover.hh"

#include "relay/cache_rig.hh"
#include "unit.hh"

#include <string>

using namespace std::chrono_literals;
using namespace dotproxy::test;
using dotproxy::Clock;
using dotproxy::Counter;
using dotproxy::UpstreamCounter;

namespace {

constexpr unsigned ede_prohibited = 18;
constexpr std::uint16_t checking_disabled = dotproxy::dns::flag::checking_disabled;

/// Two upstreams that leave the answering to the test, and a client; behind them `more` that do
/// too.
class Pair {
  public:
    explicit Pair(Rig& rig, int more = 0)
        : first{rig.add_upstream()}, second{rig.add_upstream()}, rig_{rig}, client_{
                                                                                rig.udp_address()} {
        first.answers = second.answers = false;
        for (int i = 0; i < more; ++i) {
            rig.add_upstream().answers = false;
        }
        rig.open();
    }

    void ask(std::string_view name) { client_.send(make_query(name, {.id = ++id_})); }

    /// The next question that comes to a resolver.
    Asked next(Resolver& resolver) {
        assert_true(rig_.until([&] { return !resolver.asked.empty(); }));
        return resolver.take();
    }

    /// The next one, which is answered with an error.
    void fail(Resolver& resolver, unsigned code = refused, std::optional<unsigned> error = {}) {
        const Asked asked = next(resolver);
        resolver.send(asked.session, failure(asked, code, error).octets());
    }

    void succeed(Resolver& resolver) { resolver.answer(next(resolver)); }

    void expect(unsigned code, unsigned error = no_error_told) {
        const Message answer = answer_to(rig_, client_);
        assert_int_equal(rcode(answer), code);
        assert_int_equal(error_of(answer), error);
    }

    void expect_nothing_for(Clock::duration time) {
        rig_.pass(time);
        assert_true(client_.receive().empty());
    }

    Resolver& first;
    Resolver& second;

  private:
    Rig& rig_;
    UdpClient client_;
    std::uint16_t id_{0};
};

/// A name that the second upstream answers since the first one does not.
void move_to_second(Pair& pair, std::string_view name) {
    pair.ask(name);
    pair.fail(pair.first);
    pair.succeed(pair.second);
    pair.expect(noerror);
}

void test_failure_when_the_next_hangs_then_passed_on_after_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    pair.second.shakes_hands = false;
    pair.ask("a.example");
    pair.fail(pair.first, refused, ede_prohibited);
    assert_true(rig.until([&] { return pair.second.sessions() == 1; }));
    pair.expect_nothing_for(999ms);
    rig.pass(1ms);
    pair.expect(refused, ede_prohibited);
    assert_true(nothing_waits(rig));
}

void test_failure_when_the_next_is_silent_then_passed_on_after_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    pair.ask("a.example");
    pair.fail(pair.first, refused, ede_prohibited);
    static_cast<void>(pair.next(pair.second));
    pair.expect_nothing_for(999ms); // and half way a probe
    rig.pass(1ms);
    pair.expect(refused, ede_prohibited);
    assert_true(nothing_waits(rig));
}

// L31: never later than the client's patience, whatever the second one is at.
void test_failure_when_the_next_takes_its_time_then_passed_on_at_the_end(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    pair.ask("a.example");
    pair.fail(pair.first, refused, ede_prohibited);
    static_cast<void>(pair.next(pair.second));
    for (Clock::duration time = 0s; time < 4400ms; time += 400ms) {
        pair.expect_nothing_for(400ms);
        while (!pair.second.asked.empty()) {
            pair.succeed(pair.second); // what is asked for a sign of life
        }
        for (int i = 0; i < 10; ++i) {
            rig.step();
        }
    }
    rig.pass(100ms);
    pair.expect(refused, ede_prohibited);
}

// While another one is asked nothing has failed yet.
void test_failure_when_another_is_asked_then_not_remembered_yet(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache = default_cache();
    rig.cache = std::make_shared<const dotproxy::CacheMemory>(rig.config.cache.size, 1);
    Pair pair{rig};
    pair.ask("a.example");
    pair.fail(pair.first);
    const Asked asked = pair.next(pair.second);
    pair.ask("a.example");
    assert_true(rig.until([&] { return rig.count(Counter::joined) == 1; }));
    pair.second.answer(asked);
    pair.expect(noerror);
    pair.expect(noerror);
    assert_int_equal(rig.failures(), 0);
    assert_int_equal(rig.count(Counter::cache_failures), 0);
    assert_int_equal(rig.upstream(0).get(UpstreamCounter::failed_over), 1);
}

/// A worker that knew an answer, whose time ended a second ago.
void expire(Rig& rig, Pair& pair, std::string_view name) {
    pair.ask(name);
    const Asked asked = pair.next(pair.first);
    pair.first.send(asked.session, with_ttl(asked, 60).octets());
    pair.expect(noerror);
    rig.pass(61s);
    pair.ask(name);
}

// RFC 8767: an answer that has expired is better than an error of all.
void test_failure_when_of_all_then_the_expired_answer(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache = default_cache();
    rig.cache = std::make_shared<const dotproxy::CacheMemory>(rig.config.cache.size, 1);
    Pair pair{rig};
    expire(rig, pair, "a.example");
    pair.fail(pair.first);
    pair.fail(pair.second);
    pair.expect(noerror, ede_stale);
}

// C89: and not where validation failed, though the upstream does not say so.
void test_failure_when_bogus_then_no_expired_answer(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache = default_cache();
    rig.cache = std::make_shared<const dotproxy::CacheMemory>(rig.config.cache.size, 1);
    Pair pair{rig};
    expire(rig, pair, "a.example");
    pair.fail(pair.first, servfail);
    const Asked check = pair.next(pair.first);
    assert_true((dotproxy::dns::flags(check.message) & checking_disabled) != 0);
    pair.first.answer(check);
    pair.expect(servfail, ede_bogus);
    assert_int_equal(pair.second.sessions(), 0);
}

// What is too large to be kept loses its records, and no more.
void test_failure_when_large_then_its_rcode_is_passed_on(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    pair.ask("large.example");
    const Asked asked = pair.next(pair.first);
    dotproxy::dns::test::Message large = failure(asked, refused);
    const std::vector<std::uint8_t> rdata(2000);
    large.at(dotproxy::dns::header_size, dotproxy::dns::test::Section::authority, 65280, rdata);
    pair.first.send(asked.session, large.octets());
    pair.fail(pair.second, servfail, ede_network);
    pair.expect(refused);
}

void test_name_when_answered_by_the_second_then_goes_there_for_a_minute(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    move_to_second(pair, "a.example");
    rig.pass(59s);
    pair.ask("a.example");
    pair.succeed(pair.second); // over a new connection
    pair.expect(noerror);
    pair.ask("b.example");
    pair.succeed(pair.first);
    pair.expect(noerror);
    rig.pass(1s);
    pair.ask("a.example");
    pair.succeed(pair.first);
    pair.expect(noerror);
}

void test_name_when_the_second_hangs_then_the_first_after_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    move_to_second(pair, "a.example");
    rig.pass(31s); // its connection is closed
    pair.second.shakes_hands = false;
    pair.ask("a.example");
    pair.expect_nothing_for(999ms);
    assert_true(pair.first.asked.empty());
    rig.pass(1ms);
    pair.succeed(pair.first);
    pair.expect(noerror);
}

// L31: where half of the patience is less than a second, the first one has the other half.
void test_name_when_the_second_hangs_and_patience_is_short_then_the_first_in_time(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.timeouts.query = rig.config.timeouts.connect = 1s;
    Pair pair{rig};
    move_to_second(pair, "a.example");
    rig.pass(31s); // its connection is closed
    pair.second.shakes_hands = false;
    pair.ask("a.example");
    pair.expect_nothing_for(450ms);
    pair.succeed(pair.first);
    pair.expect(noerror);
}

// L81: three sends, whatever they are for.
void test_connection_when_lost_at_the_next_then_asked_once_more_alone(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    pair.ask("a.example");
    pair.fail(pair.first, refused, ede_prohibited);
    for (std::size_t session = 0; session < 2; ++session) {
        const Asked asked = pair.next(pair.second);
        assert_int_equal(asked.session, session);
        pair.second.close(session, false);
    }
    pair.expect(refused, ede_prohibited);
    rig.pass(5s);
    assert_int_equal(pair.first.asked_in_all, 1);
    assert_int_equal(pair.second.asked_in_all, 2);
}

// L80: what was beside the one to blame is answered.
void test_connection_when_lost_with_others_then_they_are_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    for (const char* const name : {"a.example", "b.example", "c.example"}) {
        pair.ask(name);
        pair.fail(pair.first);
    }
    assert_true(rig.until([&] { return pair.second.asked.size() == 3; }));
    pair.second.asked.clear();
    pair.second.close(0, false);
    for (int i = 0; i < 3; ++i) {
        rig.pass(200ms);
        pair.succeed(pair.second);
        pair.expect(noerror);
    }
    assert_int_equal(pair.second.sessions(), 4); // each was alone
}

// L80: what has lost a connection before is asked alone elsewhere, too.
void test_failure_when_a_connection_was_lost_before_then_asked_alone(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    pair.ask("innocent.example");
    pair.fail(pair.first);
    static_cast<void>(pair.next(pair.second));
    pair.ask("poison.example");
    pair.first.close(pair.next(pair.first).session, false);
    rig.pass(200ms);
    pair.fail(pair.first);
    assert_int_equal(pair.next(pair.second).session, 1);
    assert_true(pair.second.is_open(0));
}

/// A question that the first upstream is silent about, and fails when the second is asked already:
/// the query there.
Asked fail_late(Rig& rig, Pair& pair, unsigned code) {
    pair.ask("a.example");
    const Asked asked = pair.next(pair.first);
    rig.pass(1s);
    const Asked again = pair.next(pair.second);
    pair.first.send(asked.session, failure(asked, code).octets());
    for (int i = 0; i < 10; ++i) {
        rig.step();
    }
    return again;
}

void test_failure_when_late_then_the_answer_of_the_other_is_waited_for(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    const Asked again = fail_late(rig, pair, servfail);
    pair.second.answer(again);
    pair.expect(noerror);
}

// Who failed is not asked again because the other one closes.
void test_failure_when_the_other_is_lost_then_the_other_is_asked_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    const Asked again = fail_late(rig, pair, refused);
    const auto asked_so_far = pair.first.asked_in_all; // the question, and a probe
    pair.second.close(again.session, false);
    rig.pass(200ms);
    pair.succeed(pair.second);
    pair.expect(noerror);
    assert_int_equal(pair.first.asked_in_all, asked_so_far);
}

void test_failure_when_the_next_is_silent_then_the_one_behind_it_is_asked(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig, 1};
    Resolver& third = *rig.resolvers.back();
    pair.ask("a.example");
    pair.fail(pair.first);
    static_cast<void>(pair.next(pair.second));
    pair.expect_nothing_for(1s);
    pair.succeed(third);
    pair.expect(noerror);
}

// No check where it would take the last send: then what it is for could not be done.
void test_check_when_no_send_would_be_left_then_none(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    pair.ask("warm.example");
    pair.succeed(pair.first);
    pair.expect(noerror);
    pair.ask("a.example");
    pair.first.close(pair.next(pair.first).session, false);
    rig.pass(200ms);
    pair.fail(pair.first, servfail);
    pair.expect(servfail);
    assert_int_equal(pair.first.asked_in_all, 3);
    assert_int_equal(pair.second.sessions(), 0);
}

// An upstream that closes after each answer: the check takes all sends that there are, but what it
// shows is known when the client asks again.
void test_check_when_its_connection_is_lost_then_done_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    pair.ask("a.example");
    pair.fail(pair.first, servfail);
    pair.first.close(pair.next(pair.first).session, false);
    pair.fail(pair.first, servfail);
    pair.expect(servfail);
    assert_int_equal(pair.first.asked_in_all, 3);
    assert_int_equal(pair.second.sessions(), 0);
    pair.ask("a.example");
    pair.fail(pair.first, servfail);
    pair.succeed(pair.second);
    pair.expect(noerror);
}

// Who failed late is not asked again because the other one is not connected yet.
void test_failure_when_late_and_the_other_is_not_there_yet_then_passed_on_in_time(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Pair pair{rig};
    pair.second.shakes_hands = false;
    pair.ask("a.example");
    const Asked asked = pair.next(pair.first);
    rig.pass(1s); // silent: it waits for a connection
    pair.first.asked.clear();
    pair.first.send(asked.session, failure(asked, refused, ede_prohibited).octets());
    for (int i = 0; i < 10; ++i) {
        rig.step();
    }
    rig.pass(1s);
    pair.expect(refused, ede_prohibited);
    for (const Asked& one : pair.first.asked) {
        assert_true(one.name.empty()); // a probe
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_failure_when_the_next_hangs_then_passed_on_after_a_second, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_failure_when_the_other_is_lost_then_the_other_is_asked_again, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_failure_when_the_next_is_silent_then_passed_on_after_a_second, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_failure_when_the_next_takes_its_time_then_passed_on_at_the_end, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_failure_when_another_is_asked_then_not_remembered_yet,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_failure_when_of_all_then_the_expired_answer, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_failure_when_bogus_then_no_expired_answer, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_failure_when_large_then_its_rcode_is_passed_on,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_name_when_answered_by_the_second_then_goes_there_for_a_minute, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_name_when_the_second_hangs_then_the_first_after_a_second, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_connection_when_lost_at_the_next_then_asked_once_more_alone, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_connection_when_lost_with_others_then_they_are_answered, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_failure_when_a_connection_was_lost_before_then_asked_alone, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_failure_when_late_then_the_answer_of_the_other_is_waited_for, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_failure_when_the_next_is_silent_then_the_one_behind_it_is_asked, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_name_when_the_second_hangs_and_patience_is_short_then_the_first_in_time, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_check_when_no_send_would_be_left_then_none, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_check_when_its_connection_is_lost_then_done_again,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_failure_when_late_and_the_other_is_not_there_yet_then_passed_on_in_time, make_rig,
            free_rig),
    };
    return cmocka_run_group_tests_name("upstream/failover", tests, make_world, free_world);
}
