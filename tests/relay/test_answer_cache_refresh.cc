// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Asking again before an answer ends: when, by whom of all workers, and what comes of it.

#include "relay/answer_cache.hh"

#include "relay/cache_rig.hh"
#include "relay/mailbox.hh"
#include "unit.hh"

#include <algorithm>
#include <memory>

using namespace std::chrono_literals;
using namespace dotproxy::test;
using dotproxy::Counter;

namespace dns = dotproxy::dns;

namespace {

constexpr std::uint32_t ttl = 100;

const Message& www() {
    static const Message query = make_query("www.example");
    return query;
}

/// A worker whose answer is in the last tenth of its time.
Resolver& serve_ending(Rig& rig) {
    Resolver& resolver = serve_cached(rig);
    assert_int_equal(ttl_of(learn(rig, resolver, "www.example", ttl)), ttl);
    rig.pass(90s);
    return resolver;
}

Asked refresh_of(Rig& rig, Resolver& resolver) {
    assert_true(rig.until([&] { return !resolver.asked.empty(); }));
    return resolver.take();
}

void test_look_up_when_the_last_tenth_begins_then_asked_again_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    static_cast<void>(learn(rig, resolver, "www.example", ttl));
    rig.pass(90s - 1ms);
    assert_int_equal(ttl_of(ask(rig, www())), 11);
    assert_true(nothing_waits(rig));
    rig.pass(1ms);
    assert_int_equal(ttl_of(ask(rig, www())), 10); // whose asker does not wait for it
    assert_int_equal(ttl_of(ask(rig, www())), 10);
    assert_int_equal(rig.count(Counter::cache_refreshes), 1);
    const Asked asked = refresh_of(rig, resolver);
    resolver.send(asked.session, with_ttl(asked, 50).octets());
    assert_true(rig.until([&] { return nothing_waits(rig); }));
    assert_int_equal(ttl_of(ask(rig, www())), 50);
    assert_int_equal(asked_upstream(rig), 2);
    assert_int_equal(rig.count(Counter::cache_hits), 4);
    // And so on, with the new one's time: the claim is over.
    rig.pass(45s);
    assert_int_equal(ttl_of(ask(rig, www())), 5);
    assert_int_equal(rig.count(Counter::cache_refreshes), 2);
}

// It is on account of who asks; and who has used up what it may have keeps nobody from it.
void test_look_up_when_the_asker_has_used_up_its_misses_then_for_another(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.client_misses = 1;
    static_cast<void>(serve_ending(rig));
    Mailbox mailbox;
    dotproxy::Client greedy;
    greedy.front = &mailbox;
    greedy.peer = *dotproxy::Address::parse("192.0.2.7", 4242);
    greedy.standing.network = 0;
    rig.in_turn([&] {
        while (rig.gate().forward(greedy)) {
        }
        greedy.asked_at = rig.now();
        static_cast<void>(rig.relay().ask(greedy, www()));
    });
    assert_int_equal(mailbox.answers.size(), 1);
    assert_int_equal(rig.count(Counter::cache_refreshes), 0);
    assert_true(nothing_waits(rig));
    assert_int_equal(ttl_of(ask(rig, www())), 10);
    assert_int_equal(rig.count(Counter::cache_refreshes), 1);
}

// L21: made from the key, so nothing of the asker's OPT is in it.
void test_refresh_then_the_same_octets_as_a_miss(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    const UdpClient client{rig.udp_address()};
    const How how{.flags = dns::test::query_flags | 0x10, .opt_flags = dns::test::dnssec_ok};
    // The first of a connection asks for its time-out as well.
    static_cast<void>(learn(rig, resolver, "first.example", ttl));
    Asked miss = put(rig, resolver, client, make_query("www.example", how));
    resolver.send(miss.session, with_ttl(miss, ttl).octets());
    static_cast<void>(answer_to(rig, client));
    rig.pass(20s); // the upstream is not idle for long enough to be left
    static_cast<void>(learn(rig, resolver, "second.example", ttl));
    rig.pass(20s);
    static_cast<void>(learn(rig, resolver, "third.example", ttl));
    rig.pass(20s);
    static_cast<void>(learn(rig, resolver, "fourth.example", ttl));
    rig.pass(20s);
    static_cast<void>(learn(rig, resolver, "fifth.example", ttl));
    rig.pass(10s);
    dns::test::Bytes padding;
    padding.option(12, dns::test::Bytes{}.fill(50, 0).octets());
    How padded = how;
    padded.options = padding.octets();
    static_cast<void>(ask(rig, make_query("wWw.example", padded)));
    Asked refresh = refresh_of(rig, resolver);
    assert_int_equal(refresh.session, miss.session);
    dns::set_id(miss.message, 0);
    dns::set_id(refresh.message, 0);
    assert_true(refresh.message == miss.message);
}

// One of all workers; the others leave it to him.
void test_look_up_when_two_workers_see_the_end_then_one_asks(void** state) {
    Rig& first = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_ending(first);
    const auto second = std::make_unique<Rig>(first.world());
    Resolver& other = serve_cached(*second, first.cache);
    second->step(); // its clock is read
    for (int i = 0; i < 3; ++i) {
        assert_int_equal(ttl_of(ask(*second, www())), 10);
        assert_int_equal(ttl_of(ask(first, www())), 10);
    }
    assert_int_equal(second->count(Counter::cache_refreshes), 1);
    assert_int_equal(first.count(Counter::cache_refreshes), 0);
    const Asked asked = refresh_of(*second, other);
    other.send(asked.session, with_ttl(asked, 300).octets());
    assert_true(second->until([&] { return nothing_waits(*second); }));
    assert_int_equal(ttl_of(ask(first, www())), 300);
    assert_int_equal(ttl_of(ask(*second, www())), 300);
    assert_true(resolver.asked.empty());
}

// L25: at most one question a second, however many workers are asked for a name that fails.
void test_look_up_when_a_failure_has_counted_then_one_of_two_workers_asks(void** state) {
    Rig& first = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(first);
    const auto second = std::make_unique<Rig>(first.world());
    static_cast<void>(serve_cached(*second, first.cache));
    static_cast<void>(
        ask(first, resolver, www(), [](const Asked& asked) { return failure(asked); }));
    first.pass(1s);
    second->step(); // its clock is read
    const UdpClient asker{first.udp_address()};
    const Asked again = put(first, resolver, asker, www());
    assert_int_equal(error_of(ask(*second, www())), ede_cached);
    const UdpClient joins{first.udp_address()};
    joins.send(www());
    assert_true(first.until([&] { return first.count(Counter::joined) == 1; }));
    assert_int_equal(asked_upstream(*second), 0);
    resolver.send(again.session, with_ttl(again, 300).octets());
    assert_int_equal(rcode(answer_to(first, asker)), noerror);
    assert_int_equal(rcode(answer_to(first, joins)), noerror);
    assert_int_equal(ttl_of(ask(*second, www())), 300);
}

// An answer takes a failure back, also one that is not kept.
void test_look_up_when_failed_and_then_answered_with_ttl_0_then_asked_each_time(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    static_cast<void>(ask(rig, resolver, www(), [](const Asked& asked) { return failure(asked); }));
    rig.pass(1s);
    for (int i = 0; i < 3; ++i) {
        const Message answer =
            ask(rig, resolver, www(), [](const Asked& asked) { return with_ttl(asked, 0); });
        assert_int_equal(rcode(answer), noerror);
    }
    assert_int_equal(asked_upstream(rig), 4);
    assert_int_equal(rig.count(Counter::cache_failures), 0);
}

// The answer goes on, and the upstream is left in peace for a while.
void test_refresh_when_it_fails_then_not_again_before_the_claim_ends(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_ending(rig);
    static_cast<void>(ask(rig, www()));
    const Asked asked = refresh_of(rig, resolver);
    resolver.send(asked.session, failure(asked).octets());
    assert_true(rig.until([&] { return nothing_waits(rig); }));
    for (int i = 0; i < 4; ++i) {
        const Message hit = ask(rig, www());
        assert_int_equal(rcode(hit), noerror);
        assert_int_equal(error_of(hit), no_error_told);
        assert_int_equal(ttl_of(hit), 10 - i);
        rig.pass(1s);
    }
    rig.pass(999ms);
    static_cast<void>(ask(rig, www()));
    assert_int_equal(rig.count(Counter::cache_refreshes), 1);
    rig.pass(1ms); // timeouts.query after the claim
    static_cast<void>(ask(rig, www()));
    assert_int_equal(rig.count(Counter::cache_refreshes), 2);
}

void test_refresh_when_nobody_answers_then_nobody_is_told(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_ending(rig);
    const UdpClient client{rig.udp_address()};
    client.send(www());
    assert_int_equal(ttl_of(answer_to(rig, client)), 10);
    static_cast<void>(refresh_of(rig, resolver));
    rig.pass(4500ms);
    assert_true(nothing_waits(rig));
    assert_true(client.receive().empty());
    assert_int_equal(rig.failures(), 0);
    assert_int_equal(ttl_of(ask(rig, www())), 6); // C85: a failure takes no answer's place
}

// Who died with a claim leaves one that ends by itself.
void test_look_up_when_who_asked_died_then_another_asks(void** state) {
    Rig& first = *static_cast<Rig*>(*state);
    serve_ending(first);
    auto second = std::make_unique<Rig>(first.world());
    serve_cached(*second, first.cache);
    second->step();
    static_cast<void>(ask(*second, www()));
    assert_int_equal(second->count(Counter::cache_refreshes), 1);
    second.reset();
    first.pass(4999ms);
    static_cast<void>(ask(first, www()));
    assert_int_equal(first.count(Counter::cache_refreshes), 0);
    first.pass(1ms);
    static_cast<void>(ask(first, www()));
    assert_int_equal(first.count(Counter::cache_refreshes), 1);
}

void test_look_up_when_prefetch_is_off_then_not_asked_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache = default_cache();
    rig.config.cache.prefetch = false;
    serve_ending(rig);
    assert_int_equal(ttl_of(ask(rig, www())), 10);
    rig.pass(9999ms);
    assert_int_equal(ttl_of(ask(rig, www())), 1);
    assert_int_equal(rig.count(Counter::cache_refreshes), 0);
    assert_int_equal(asked_upstream(rig), 1);
}

// limits 35: it is claimed by nobody meanwhile, and asked for by whoever comes next.
void test_look_up_when_there_is_too_much_to_do_then_asked_again_later(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve_ending(rig);
    rig.overload(1s);
    assert_int_equal(ttl_of(ask(rig, www())), 10);
    assert_int_equal(rig.count(Counter::cache_refreshes), 0);
    rig.pass(1s);
    assert_int_equal(ttl_of(ask(rig, www())), 9);
    assert_int_equal(rig.count(Counter::cache_refreshes), 1);
}

// C95: it has expired before the refresh was answered. Who asks then shares what comes.
void test_refresh_when_somebody_asks_meanwhile_then_he_shares_it(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    static_cast<void>(learn(rig, resolver, "www.example", 10));
    rig.pass(9500ms);
    static_cast<void>(ask(rig, www()));
    const Asked asked = refresh_of(rig, resolver);
    rig.pass(500ms);
    const UdpClient client{rig.udp_address()};
    client.send(www());
    assert_true(rig.until([&] { return rig.count(Counter::joined) == 1; }));
    resolver.send(asked.session, with_ttl(asked, 300).octets());
    assert_int_equal(ttl_of(answer_to(rig, client)), 300);
    assert_int_equal(asked_upstream(rig), 2);
}

// A worker that has answered everybody may leave.
void test_refresh_when_nobody_waits_but_the_cache_then_the_worker_is_idle(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_ending(rig);
    static_cast<void>(ask(rig, www()));
    static_cast<void>(refresh_of(rig, resolver));
    assert_false(nothing_waits(rig));
    assert_true(rig.relay().idle());
    const UdpClient client{rig.udp_address()};
    client.send(make_query("other.example"));
    assert_true(rig.until([&] { return !resolver.asked.empty(); }));
    assert_false(rig.relay().idle());
    rig.in_turn([&] { rig.relay().fail_all(); });
    assert_int_equal(rcode(answer_to(rig, client)), servfail);
    assert_true(nothing_waits(rig));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_look_up_when_the_last_tenth_begins_then_asked_again_once, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_the_asker_has_used_up_its_misses_then_for_another, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_refresh_then_the_same_octets_as_a_miss, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_two_workers_see_the_end_then_one_asks,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_a_failure_has_counted_then_one_of_two_workers_asks, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_failed_and_then_answered_with_ttl_0_then_asked_each_time, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_refresh_when_it_fails_then_not_again_before_the_claim_ends, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_refresh_when_nobody_answers_then_nobody_is_told,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_who_asked_died_then_another_asks,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_prefetch_is_off_then_not_asked_again,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_there_is_too_much_to_do_then_asked_again_later, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_refresh_when_somebody_asks_meanwhile_then_he_shares_it,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_refresh_when_nobody_waits_but_the_cache_then_the_worker_is_idle, make_rig,
            free_rig),
    };
    return cmocka_run_group_tests_name("relay/answer_cache_refresh", tests, make_world, free_world);
}
