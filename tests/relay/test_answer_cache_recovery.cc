// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// When failures are forgotten: what did not work may work as soon as an upstream is back, or once a
// successor serves.

#include "relay/answer_cache.hh"

#include "relay/cache_rig.hh"
#include "unit.hh"

#include <functional>

using namespace std::chrono_literals;
using namespace dotproxy::test;
using dotproxy::Cache;

namespace dns = dotproxy::dns;

namespace {

constexpr std::uint32_t ttl = 60;

const Message& www() {
    static const Message query = make_query("www.example");
    return query;
}

Resolver& serve_patiently(Rig& rig, std::shared_ptr<const dotproxy::CacheMemory> memory = nullptr) {
    rig.config.cache = default_cache();
    rig.config.cache.failure_ttl = 60s;
    return serve_cached(rig, std::move(memory));
}

void fail_once(Rig& rig, Resolver& resolver, std::optional<unsigned> error = std::nullopt) {
    assert_int_equal(
        rcode(ask(rig, resolver, www(),
                  [&](const Asked& asked) { return failure(asked, servfail, error); })),
        servfail);
}

/// Has the name fail until that is remembered for half a minute.
void fail_for_long(Rig& rig, Resolver& resolver, std::optional<unsigned> error = std::nullopt) {
    for (const auto pause : {1s, 2s, 4s, 8s, 16s}) {
        fail_once(rig, resolver, error);
        rig.pass(pause);
    }
    fail_once(rig, resolver, error);
}

void assert_remembered(Rig& rig) {
    const std::uint64_t before = asked_upstream(rig);
    const Message answer = ask(rig, www());
    assert_int_equal(rcode(answer), servfail);
    assert_int_equal(error_of(answer), ede_cached);
    assert_int_equal(asked_upstream(rig), before);
}

/// Asked at once, and answered.
void assert_forgotten(Rig& rig, Resolver& resolver) {
    assert_int_equal(ttl_of(learn(rig, resolver, "www.example", ttl)), ttl);
}

/// An outage that is noticed.
void fall(Rig& rig, Resolver& resolver) {
    resolver.stop();
    const UdpClient client{rig.udp_address()};
    client.send(make_query("outage.example"));
    rig.pass(4500ms);
    assert_int_equal(rcode(answer_to(rig, client)), servfail);
}

/// It answers again, as `say` has it.
void come_back(
    Rig& rig, Resolver& resolver,
    const std::function<dns::test::Message(const Asked&)>& say = [](const Asked& asked) {
        return with_ttl(asked, ttl);
    }) {
    resolver.start();
    const UdpClient client{rig.udp_address()};
    client.send(make_query("back.example"));
    for (int tries = 0; resolver.asked.empty(); ++tries) {
        assert_in_range(tries, 0, 100);
        rig.pass(10ms);
    }
    const Asked asked = resolver.take();
    resolver.send(asked.session, say(asked).octets());
    static_cast<void>(answer_to(rig, client));
}

void test_recovered_then_what_failed_is_asked_again_at_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_patiently(rig);
    fail_for_long(rig, resolver);
    fall(rig, resolver);
    assert_remembered(rig);
    come_back(rig, resolver);
    assert_forgotten(rig, resolver);
}

// Another worker that noticed neither the outage nor its end.
void test_recovered_then_for_all_workers(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_patiently(rig);
    const auto second = std::make_unique<Rig>(rig.world());
    Resolver& of_second = serve_patiently(*second, rig.cache);
    fail_for_long(*second, of_second);
    fall(rig, resolver);
    assert_remembered(*second);
    come_back(rig, resolver);
    assert_forgotten(*second, of_second);
}

// Nothing was out of order: that others are answered says nothing.
void test_answered_when_nothing_was_wrong_then_failures_still_count(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_patiently(rig);
    fail_for_long(rig, resolver);
    static_cast<void>(learn(rig, resolver, "other.example", ttl));
    assert_remembered(rig);
}

// RFC 9520, section 3.2, L25: a server that has just started may say nothing but SERVFAIL.
void test_recovered_when_by_a_failure_then_that_one_counts(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_patiently(rig);
    fall(rig, resolver);
    come_back(rig, resolver, [](const Asked& asked) { return failure(asked); });
    const Message answer = ask(rig, make_query("back.example"));
    assert_int_equal(rcode(answer), servfail);
    assert_int_equal(error_of(answer), ede_cached);
}

// The same of one that comes and goes: a name is asked for once a second at most.
void test_recovered_when_again_within_a_second_then_failures_still_count(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_patiently(rig);
    fail_for_long(rig, resolver);
    fall(rig, resolver);
    come_back(rig, resolver);
    fail_once(rig, resolver); // the first in a row
    rig.in_turn([&] { rig.relay().recovered(); });
    assert_remembered(rig);
    rig.pass(1s);
    fail_once(rig, resolver); // counts for two seconds
    rig.pass(1s);
    assert_remembered(rig);
    rig.in_turn([&] { rig.relay().recovered(); });
    assert_forgotten(rig, resolver);
}

// C89: the name is asked again, but until there is an answer nothing stale covers what was found.
void test_recovered_when_bogus_then_asked_again_and_never_papered_over(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_patiently(rig);
    static_cast<void>(learn(rig, resolver, "www.example", ttl));
    rig.pass(61s);
    fail_for_long(rig, resolver, ede_bogus);
    fall(rig, resolver);
    come_back(rig, resolver);
    const UdpClient client{rig.udp_address()};
    static_cast<void>(put(rig, resolver, client, www()));
    rig.pass(4500ms);
    const Message answer = answer_to(rig, client);
    assert_int_equal(rcode(answer), servfail);
    assert_int_not_equal(error_of(answer), ede_stale);
    assert_int_equal(rig.count(dotproxy::Counter::cache_stale), 0);
}

// Its upstreams may be others, and what it is still waiting for says nothing to its successors.
void test_drain_then_successors_know_no_failure(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_patiently(rig);
    const auto second = std::make_unique<Rig>(rig.world());
    Resolver& of_second = serve_patiently(*second, rig.cache);
    fail_for_long(rig, resolver);
    const UdpClient client{rig.udp_address()};
    client.send(make_query("late.example"));
    assert_true(rig.until([&] { return !resolver.asked.empty(); }));
    assert_remembered(*second);
    rig.in_turn([&] { rig.relay().drain(); });
    assert_forgotten(*second, of_second);
    rig.pass(1ms);
    const Asked asked = resolver.take();
    resolver.send(asked.session, failure(asked).octets());
    assert_int_equal(rcode(answer_to(rig, client)), servfail);
    assert_int_equal(ttl_of(learn(*second, of_second, "late.example", ttl)), ttl);
}

// C89: but that a validation failed is known to all, whoever found it.
void test_drain_when_bogus_then_remembered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_patiently(rig);
    const auto second = std::make_unique<Rig>(rig.world());
    serve_patiently(*second, rig.cache);
    rig.in_turn([&] { rig.relay().drain(); });
    rig.pass(1ms);
    fail_once(rig, resolver, ede_bogus);
    assert_remembered(*second);
}

// L66: no process can make all others ask for what fails as often as they are asked.
void test_look_up_when_the_end_of_failures_was_scribbled_then_they_count(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_patiently(rig);
    fail_for_long(rig, resolver);
    for (const std::uint64_t far : {Cache::uptime() + 3'600'000, ~std::uint64_t{0}}) {
        rig.cache->failures_ended() = far;
        assert_remembered(rig);
    }
    rig.in_turn([&] { rig.relay().recovered(); });
    rig.pass(1ms);
    assert_remembered(rig); // failed in the same millisecond, or later
    rig.pass(1s);
    rig.in_turn([&] { rig.relay().recovered(); });
    assert_forgotten(rig, resolver);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_recovered_then_what_failed_is_asked_again_at_once,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_recovered_then_for_all_workers, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_answered_when_nothing_was_wrong_then_failures_still_count, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_recovered_when_by_a_failure_then_that_one_counts,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_recovered_when_again_within_a_second_then_failures_still_count, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_recovered_when_bogus_then_asked_again_and_never_papered_over, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_drain_then_successors_know_no_failure, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_drain_when_bogus_then_remembered, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_the_end_of_failures_was_scribbled_then_they_count, make_rig,
            free_rig),
    };
    return cmocka_run_group_tests_name("relay/answer_cache_recovery", tests, make_world,
                                       free_world);
}
