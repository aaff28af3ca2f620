// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What is answered when the upstream fails: for how long a failure counts, and when an answer that
// has expired is better than none (RFC 8767, RFC 9520).

#include "relay/answer_cache.hh"

#include "relay/cache_rig.hh"
#include "unit.hh"

#include <string>

using namespace std::chrono_literals;
using namespace dotproxy::test;
using dotproxy::Counter;
using dotproxy::FailureReason;

namespace dns = dotproxy::dns;

namespace {

constexpr std::uint32_t ttl = 60;

Message ask_and_fail(Rig& rig, Resolver& resolver, const Message& query, unsigned code = servfail,
                     std::optional<unsigned> error = std::nullopt) {
    return ask(rig, resolver, query,
               [&](const Asked& asked) { return failure(asked, code, error); });
}

/// A worker that knew an answer, whose time ended a second ago.
Resolver& serve_expired(Rig& rig) {
    Resolver& resolver = serve_cached(rig);
    assert_int_equal(ttl_of(learn(rig, resolver, "www.example", ttl)), ttl);
    rig.pass(61s);
    return resolver;
}

void assert_stale(const Message& answer, std::uint32_t wanted = 30) {
    assert_int_equal(rcode(answer), noerror);
    assert_int_equal(ttl_of(answer), wanted);
    assert_int_equal(error_of(answer), ede_stale);
}

const Message& www() {
    static const Message query = make_query("www.example");
    return query;
}

// C85, L25: nobody is asked while a failure counts, and for longer each time.
void test_look_up_when_failed_again_then_counts_for_twice_as_long(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    std::uint64_t asked = 0;
    std::uint64_t given = 0;
    for (const auto time : {1s, 2s, 4s, 5s, 5s}) {
        const Message first = ask_and_fail(rig, resolver, www());
        assert_int_equal(rcode(first), servfail);
        assert_int_equal(error_of(first), no_error_told);
        rig.pass(time - 1ms);
        const Message again = ask(rig, www());
        assert_int_equal(rcode(again), servfail);
        assert_int_equal(error_of(again), ede_cached);
        assert_int_equal(rig.count(Counter::cache_failures), ++given);
        assert_int_equal(asked_upstream(rig), ++asked);
        rig.pass(1ms);
    }
    // L25: over with the first answer.
    assert_int_equal(rcode(learn(rig, resolver, "www.example", ttl)), noerror);
    assert_int_equal(ttl_of(ask(rig, www())), ttl);
}

void test_look_up_when_failed_long_ago_then_counts_as_the_first(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    ask_and_fail(rig, resolver, www());
    rig.pass(1s);
    ask_and_fail(rig, resolver, www());
    rig.pass(32s);
    ask_and_fail(rig, resolver, www());
    rig.pass(1s);
    ask_and_fail(rig, resolver, www());
    assert_int_equal(asked_upstream(rig), 4);
}

// C85: what kind of failure, and what was said of it, is told again; each key has its own.
void test_look_up_when_refused_then_told_so_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    assert_int_equal(error_of(ask_and_fail(rig, resolver, www(), refused, 18)), 18);
    const Message again = ask(rig, www());
    assert_int_equal(rcode(again), refused);
    const auto told = dns::test::find_option(again, 15);
    assert_int_equal(told.count, 2);
    assert_int_equal(error_of(again), ede_cached);
    const Message plain = ask(rig, make_query("www.example", {.edns = false}));
    assert_int_equal(rcode(plain), refused);
    assert_int_equal(dns::test::layout(plain).opts, 0);
    const UdpClient client{rig.udp_address()};
    put(rig, resolver, client, make_query("www.example", {.flags = 0x110})); // CD
    assert_int_equal(asked_upstream(rig), 2);
}

// RFC 9520, section 3.2: a second, however often.
void test_look_up_when_nobody_answered_then_failed_for_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve_cached(rig);
    for (int i = 0; i < 3; ++i) {
        const UdpClient client{rig.udp_address()};
        const std::uint64_t waited = rig.count(Counter::cache_misses) + 1;
        client.send(www());
        assert_true(rig.until([&] { return rig.count(Counter::cache_misses) == waited; }));
        rig.pass(4500ms);
        const Message first = answer_to(rig, client);
        assert_int_equal(rcode(first), servfail);
        assert_int_equal(error_of(first), ede_network);
        rig.pass(999ms);
        const Message again = ask(rig, www());
        assert_int_equal(rcode(again), servfail);
        assert_int_equal(error_of(again), ede_cached);
        assert_int_equal(rig.count(Counter::cache_misses), waited);
        rig.pass(1ms);
    }
}

// Somebody waits all the time, so that the inquiry never ends; that it failed is known all the
// same.
void test_look_up_when_one_of_many_gave_up_then_failed_for_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    const UdpClient first{rig.udp_address()};
    const UdpClient second{rig.udp_address()};
    static_cast<void>(put(rig, resolver, first, www()));
    rig.pass(2s);
    second.send(www());
    assert_true(rig.until([&] { return rig.count(Counter::joined) == 1; }));
    rig.pass(2500ms);
    assert_int_equal(rcode(answer_to(rig, first)), servfail);
    const Message again = ask(rig, www());
    assert_int_equal(rcode(again), servfail);
    assert_int_equal(error_of(again), ede_cached);
    assert_true(second.receive().empty()); // waits for what may still come
}

// C89: exactly then; with a TTL of 30 s and an error that says so.
void test_look_up_when_expired_then_given_after_stale_after(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_expired(rig);
    const UdpClient client{rig.udp_address()};
    const Asked asked = put(rig, resolver, client, www());
    rig.pass(1799ms);
    rig.step();
    assert_true(client.receive().empty());
    rig.pass(1ms);
    assert_stale(answer_to(rig, client));
    assert_int_equal(rig.count(Counter::cache_stale), 1);
    // The question is still asked, for who comes next; nobody gets a second answer.
    resolver.send(asked.session, with_ttl(asked, 500).octets());
    assert_true(rig.until([&] { return nothing_waits(rig); }));
    assert_int_equal(ttl_of(ask(rig, www())), 500);
    assert_true(client.receive().empty());
    assert_int_equal(asked_upstream(rig), 2);
}

// It was flushed meanwhile: the client waits as long as for any other question, and no longer.
void test_look_up_when_expired_and_forgotten_then_failed_in_time(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_expired(rig);
    const UdpClient client{rig.udp_address()};
    static_cast<void>(put(rig, resolver, client, www()));
    static_cast<void>(
        dotproxy::Cache{*rig.cache, 0}.flush([](const dotproxy::Entry&) { return true; }));
    rig.pass(1800ms);
    rig.step();
    rig.pass(2699ms);
    rig.step();
    assert_true(client.receive().empty());
    rig.pass(1ms);
    assert_int_equal(rcode(answer_to(rig, client)), servfail);
    assert_true(nothing_waits(rig));
}

// Each client once, and no refresh that nobody waits for.
void test_look_up_when_expired_then_counted_for_each_who_gets_it(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_expired(rig);
    const UdpClient first{rig.udp_address()};
    const UdpClient second{rig.udp_address()};
    static_cast<void>(put(rig, resolver, first, www()));
    second.send(www());
    assert_true(rig.until([&] { return rig.count(Counter::joined) == 1; }));
    rig.pass(1800ms);
    assert_stale(answer_to(rig, first));
    assert_stale(answer_to(rig, second));
    rig.pass(5s);
    assert_true(rig.until([&] { return nothing_waits(rig); }));
    assert_int_equal(rig.count(Counter::cache_stale), 2);
}

void test_look_up_when_expired_and_answered_in_time_then_the_new_answer(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_expired(rig);
    const UdpClient client{rig.udp_address()};
    const Asked asked = put(rig, resolver, client, www());
    rig.pass(1700ms);
    resolver.send(asked.session, with_ttl(asked, 77).octets());
    const Message answer = answer_to(rig, client);
    assert_int_equal(ttl_of(answer), 77);
    assert_int_equal(error_of(answer), no_error_told);
    assert_int_equal(rig.count(Counter::cache_stale), 0);
}

// No client is left waiting for longer than it has patience.
void test_look_up_when_stale_after_is_beyond_patience_then_given_at_its_end(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache = default_cache();
    rig.config.cache.stale_after = rig.config.timeouts.query;
    Resolver& resolver = serve_expired(rig);
    const UdpClient client{rig.udp_address()};
    static_cast<void>(put(rig, resolver, client, www()));
    rig.pass(4499ms);
    rig.step();
    assert_true(client.receive().empty());
    rig.pass(1ms);
    assert_stale(answer_to(rig, client));
}

// RFC 8914, section 4.20
void test_look_up_when_a_denial_expired_then_said_to_be_a_stale_nxdomain(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    ask(rig, resolver, www(), [](const Asked& asked) { return denial(asked, nxdomain, 60, 60); });
    rig.pass(61s);
    const Message answer = ask_and_fail(rig, resolver, www());
    assert_int_equal(rcode(answer), nxdomain);
    assert_int_equal(error_of(answer), ede_stale_nxdomain);
    assert_int_equal(dns::nscount(answer), 1);
}

// C89: who comes after a failure does not wait, and the upstream is asked again when that is due,
// once.
void test_look_up_when_failed_lately_then_stale_at_once_and_one_asks(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_expired(rig);
    assert_stale(ask_and_fail(rig, resolver, www()));
    rig.pass(999ms);
    assert_stale(ask(rig, www()));
    assert_true(nothing_waits(rig));
    rig.pass(1ms);
    assert_stale(ask(rig, www()));
    assert_stale(ask(rig, www()));
    assert_true(rig.until([&] { return !resolver.asked.empty(); }));
    assert_int_equal(asked_upstream(rig), 3);
    assert_int_equal(rig.count(Counter::cache_refreshes), 1);
    const Asked asked = resolver.take();
    resolver.send(asked.session, with_ttl(asked, 88).octets());
    assert_true(rig.until([&] { return nothing_waits(rig); }));
    assert_int_equal(ttl_of(ask(rig, www())), 88);
    assert_int_equal(asked_upstream(rig), 3);
}

// A failure from before the answer is not the last attempt.
void test_look_up_when_answered_after_the_failure_then_not_failed_lately(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    ask_and_fail(rig, resolver, www());
    rig.pass(1s);
    static_cast<void>(learn(rig, resolver, "www.example", 3));
    rig.pass(3s);
    const UdpClient client{rig.udp_address()};
    const Asked asked = put(rig, resolver, client, www());
    rig.step();
    assert_true(client.receive().empty());
    resolver.send(asked.session, failure(asked).octets());
    assert_stale(answer_to(rig, client), 3);
    rig.pass(1s); // it was the first one in a row
    assert_stale(ask(rig, www()), 3);
    assert_int_equal(rig.count(Counter::cache_refreshes), 1);
}

// As many as ask during an outage, and none waits for stale_after.
void test_look_up_when_no_upstream_works_then_stale_at_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    static_cast<void>(learn(rig, resolver, "www.example", ttl));
    static_cast<void>(learn(rig, resolver, "fresh.example", 3600));
    rig.pass(61s);
    resolver.stop();
    const UdpClient other{rig.udp_address()};
    for (int i = 0; i < 5; ++i) { // somebody has to notice
        other.send(make_query("n" + std::to_string(i) + ".example"));
        rig.step();
        rig.pass(4500ms);
        assert_int_equal(rcode(answer_to(rig, other)), servfail);
    }
    rig.step();
    const auto before = rig.now();
    for (int i = 0; i < 20; ++i) {
        assert_stale(ask(rig, www()));
        assert_int_equal(rcode(ask(rig, make_query("fresh.example"))), noerror);
    }
    assert_true(rig.now() == before);
    // And when it is back, so is the answer, before long.
    resolver.start();
    resolver.answers = true;
    int seconds = 0;
    while (error_of(ask(rig, www())) == ede_stale) {
        assert_in_range(++seconds, 1, 6);
        rig.pass(1s);
    }
    assert_in_range(ttl_of(ask(rig, www())), 290, 300);
}

void test_look_up_when_beyond_max_stale_then_not_used(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache = default_cache();
    rig.config.cache.max_stale = 10s;
    Resolver& resolver = serve_cached(rig);
    static_cast<void>(learn(rig, resolver, "www.example", ttl));
    rig.pass(69s);
    assert_stale(ask_and_fail(rig, resolver, www()));
    rig.pass(999ms);
    assert_stale(ask(rig, www()));
    rig.pass(1ms);
    assert_int_equal(rcode(ask_and_fail(rig, resolver, www())), servfail);
    assert_int_equal(rcode(ask(rig, www())), servfail);
}

void test_look_up_when_max_stale_is_0_then_nothing_stale(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache = default_cache();
    rig.config.cache.max_stale = 0s;
    Resolver& resolver = serve_cached(rig);
    static_cast<void>(learn(rig, resolver, "www.example", ttl));
    rig.pass(60s);
    assert_int_equal(rcode(ask_and_fail(rig, resolver, www())), servfail);
    assert_int_equal(rig.count(Counter::cache_stale), 0);
}

// C89: that validation failed is the answer, now and for as long as nobody says otherwise.
// What the upstream took back is not given, though nothing of what it says now may be kept.
void test_look_up_when_superseded_by_what_is_not_kept_then_not_used(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_expired(rig);
    assert_int_equal(ttl_of(learn(rig, resolver, "www.example", 0)), 0);
    assert_int_equal(rcode(ask_and_fail(rig, resolver, www())), servfail);
    assert_int_equal(rig.count(Counter::cache_stale), 0);
}

void test_look_up_when_bogus_then_never_papered_over(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_expired(rig);
    const Message first = ask_and_fail(rig, resolver, www(), servfail, ede_bogus);
    assert_int_equal(rcode(first), servfail);
    assert_int_equal(error_of(first), ede_bogus);
    assert_int_equal(rcode(ask(rig, www())), servfail); // while it counts
    rig.pass(1s);
    assert_int_equal(rcode(ask_and_fail(rig, resolver, www(), servfail, ede_bogus)), servfail);
    rig.pass(2s);
    // Nor does it help to answer nothing at all.
    const UdpClient client{rig.udp_address()};
    for (int i = 0; i < 2; ++i) {
        client.send(www());
        assert_true(rig.until([&] { return !resolver.asked.empty(); }));
        rig.pass(4500ms);
        assert_int_equal(rcode(answer_to(rig, client)), servfail);
        assert_int_equal(rcode(ask(rig, www())), servfail);
        rig.pass(1s);
        resolver.asked.clear();
    }
    assert_int_equal(rig.count(Counter::cache_stale), 0);
}

// An answer that came to another worker meanwhile is better than any of these, and as old as it is.
void test_learn_when_failed_but_another_worker_knows_then_given_as_fresh(void** state) {
    Rig& first = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_expired(first);
    const UdpClient client{first.udp_address()};
    const Asked asked = put(first, resolver, client, www());
    const auto second = std::make_unique<Rig>(first.world());
    static_cast<void>(learn(*second, serve_cached(*second, first.cache), "www.example", 20));
    first.pass(1s);
    resolver.send(asked.session, failure(asked).octets());
    const Message answer = answer_to(first, client);
    assert_int_equal(ttl_of(answer), 19);
    assert_int_equal(error_of(answer), no_error_told);
    assert_int_equal(first.count(Counter::cache_stale), 0);
}

// A client that has its answer takes nobody's place.
void test_look_up_when_many_got_a_stale_answer_then_one_place_is_taken(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries = 8;
    serve_expired(rig);
    const UdpClient client{rig.udp_address()};
    for (std::uint16_t id = 0; id < 8; ++id) {
        client.send(make_query("www.example", {.id = id}));
    }
    assert_true(rig.until([&] { return rig.count(Counter::queries_waiting) == 8; }));
    rig.pass(1800ms);
    for (int i = 0; i < 8; ++i) {
        assert_stale(answer_to(rig, client));
    }
    assert_int_equal(rig.count(Counter::queries_waiting), 1);
    assert_true(rig.relay().idle()); // nobody waits but the cache
    rig.pass(4500ms);
    assert_true(nothing_waits(rig));
}

// No room to ask is no reason to say SERVFAIL.
void test_look_up_when_expired_and_all_places_are_taken_then_stale_at_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries = 4;
    serve_expired(rig);
    const UdpClient busy{rig.udp_address()};
    for (std::uint16_t id = 0; id < 4; ++id) {
        busy.send(query("n" + std::to_string(id) + ".example", id));
    }
    assert_true(rig.until([&] { return rig.count(Counter::queries_waiting) == 4; }));
    assert_stale(ask(rig, www()));
    assert_int_equal(rcode(ask(rig, make_query("other.example"))), servfail);
    assert_int_equal(rig.count(FailureReason::overload), 1);
}

// At the end of a drain, too, there is something better.
void test_fail_all_when_expired_then_given(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_expired(rig);
    const UdpClient client{rig.udp_address()};
    static_cast<void>(put(rig, resolver, client, www()));
    rig.in_turn([&] { rig.relay().fail_all(); });
    assert_stale(answer_to(rig, client));
    assert_true(nothing_waits(rig));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_look_up_when_failed_again_then_counts_for_twice_as_long, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_failed_long_ago_then_counts_as_the_first,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_refused_then_told_so_again, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_nobody_answered_then_failed_for_a_second,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_one_of_many_gave_up_then_failed_for_a_second, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_expired_and_forgotten_then_failed_in_time,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_expired_then_counted_for_each_who_gets_it,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_expired_then_given_after_stale_after,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_expired_and_answered_in_time_then_the_new_answer, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_stale_after_is_beyond_patience_then_given_at_its_end, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_a_denial_expired_then_said_to_be_a_stale_nxdomain, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_failed_lately_then_stale_at_once_and_one_asks, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_answered_after_the_failure_then_not_failed_lately, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_no_upstream_works_then_stale_at_once,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_beyond_max_stale_then_not_used, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_max_stale_is_0_then_nothing_stale,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_superseded_by_what_is_not_kept_then_not_used, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_bogus_then_never_papered_over, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(
            test_learn_when_failed_but_another_worker_knows_then_given_as_fresh, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_many_got_a_stale_answer_then_one_place_is_taken, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_expired_and_all_places_are_taken_then_stale_at_once, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_fail_all_when_expired_then_given, make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("relay/answer_cache_stale", tests, make_world, free_world);
}
