// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What a check of all upstreams finds, what is held against them for it, and what is not.

#include "unit.hh"
#include "upstream/health_check.hh"
#include "worker/rig.hh"
#include "worker/rig_names.hh"

#include <algorithm>
#include <utility>

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::Clock;
using dotproxy::Endpoint;
using dotproxy::Trouble;

namespace {

constexpr unsigned noerror = 0;

// connect(2) to a group of hosts fails as where there is no network, and needs none.
constexpr const char* no_way = "224.0.0.1";

void begin(Rig& rig) {
    rig.open();
    rig.in_turn([&rig] { rig.health_check().start(); });
}

bool finish(Rig& rig) {
    return rig.until([&rig] { return rig.health_check().is_over(); });
}

Endpoint& endpoint(Rig& rig, std::ptrdiff_t index) {
    return **std::next(rig.endpoints().begin(), index);
}

bool none_troubled(Rig& rig) {
    return std::ranges::all_of(rig.endpoints(),
                               [](const auto& one) { return one->trouble() == Trouble::none; });
}

void test_check_when_all_work_then_each_is_asked_once_and_left(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.add_upstream();
    begin(rig);
    assert_true(finish(rig));
    for (const auto& resolver : rig.resolvers) {
        assert_true(rig.until([&] { return !resolver->is_open(0); }));
        assert_int_equal(resolver->sessions(), 1);
        assert_int_equal(resolver->asked_in_all, 1);
        assert_true(resolver->left_in_order(0));
    }
    assert_true(none_troubled(rig));
    assert_int_equal(rig.count(UpstreamCounter::connects), 2);
    assert_int_equal(rig.count(UpstreamCounter::handshakes), 2);
    assert_int_equal(rig.count(UpstreamCounter::queries), 0);
    assert_int_equal(rig.count(UpstreamCounter::answers), 0);
    assert_int_equal(rig.count(Counter::upstream_connections), 0);
    rig.pass(10min); // nothing is due ever after
    assert_int_equal(rig.count(UpstreamCounter::connects), 2);
}

// Who asks at once after a start or a reload has the handshake to himself.
void test_check_when_a_question_was_answered_then_it_is_spared(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.check_timing.calm = 500ms;
    Resolver& asked = rig.add_upstream();
    Resolver& idle = rig.add_upstream();
    begin(rig);
    assert_int_equal(rcode(rig.resolve("www.example")), noerror);
    assert_int_equal(idle.sessions(), 0);
    rig.pass(rig.check_timing.calm);
    assert_true(finish(rig));
    assert_int_equal(asked.sessions(), 1);
    assert_int_equal(idle.sessions(), 1);
}

// L31: what hangs under a question is not waited for by the check.
void test_check_when_a_question_hangs_then_it_is_made_after_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.check_timing.calm = 100ms;
    Resolver& resolver = rig.add_upstream();
    resolver.shakes_hands = false;
    begin(rig);
    const UdpClient client{rig.udp_address()};
    client.send(query("www.example", 1));
    assert_true(rig.until([&] { return resolver.sessions() == 1; }));
    rig.pass(900ms);
    assert_int_equal(resolver.sessions(), 1);
    rig.pass(100ms);
    assert_true(rig.until([&] { return resolver.sessions() == 2; }));
}

void test_check_when_another_worker_was_answered_then_it_is_spared(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.check_timing.calm = 500ms;
    rig.add_upstream();
    rig.open();
    auto& others =
        rig.counters.slot(1).upstream(rig.counters.row_of(rig.config.upstream_texts().front()));
    others.add(UpstreamCounter::answers); // of a time before this
    rig.in_turn([&rig] { rig.health_check().start(); });
    others.add(UpstreamCounter::answers);
    rig.pass(rig.check_timing.calm);
    assert_true(finish(rig));
    assert_int_equal(rig.resolvers.front()->sessions(), 0);
}

void test_check_when_another_worker_was_answered_before_then_it_is_made(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.open();
    rig.counters.slot(1)
        .upstream(rig.counters.row_of(rig.config.upstream_texts().front()))
        .add(UpstreamCounter::answers);
    rig.in_turn([&rig] { rig.health_check().start(); });
    assert_true(finish(rig));
    assert_int_equal(rig.resolvers.front()->sessions(), 1);
}

// The ticket was worth something: the first question's handshake is a short one.
void test_check_when_it_works_then_the_first_question_resumes(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    begin(rig);
    assert_true(finish(rig));
    assert_int_equal(rcode(rig.resolve("www.example")), noerror);
    assert_int_equal(rig.count(UpstreamCounter::resumed), 1);
}

void test_check_when_not_trusted_or_not_there_then_the_other_is_asked_at_once(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& untrusted = rig.add_upstream(false);
    Resolver& absent = rig.add_upstream();
    Resolver& good = rig.add_upstream();
    absent.stop();
    begin(rig);
    assert_true(finish(rig));
    assert_int_equal(endpoint(rig, 0).trouble(), Trouble::untrusted);
    assert_int_equal(endpoint(rig, 1).trouble(), Trouble::unreachable);
    assert_int_equal(endpoint(rig, 2).trouble(), Trouble::none);
    assert_int_equal(untrusted.asked_in_all, 0);
    good.asked_in_all = 0;
    assert_int_equal(rcode(rig.resolve("www.example")), noerror); // and no time passes
    assert_int_equal(good.asked_in_all, 1);
}

// Some never answer a probe, and are good for questions.
void test_check_when_no_answer_then_it_is_not_held_against_the_upstream(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& first = rig.add_upstream();
    Resolver& second = rig.add_upstream();
    first.answers = false;
    begin(rig);
    assert_true(rig.until([&] { return first.asked.size() == 1; }));
    rig.pass(rig.config.timeouts.connect);
    assert_true(finish(rig));
    assert_true(none_troubled(rig));
    first.answers = true;
    second.asked_in_all = 0;
    assert_int_equal(rcode(rig.resolve("www.example")), noerror);
    assert_int_equal(second.asked_in_all, 0);
}

// What a question has found to work meanwhile is not out of use because a check came to nothing.
void test_check_when_in_vain_but_questions_are_answered_then_nothing_is_held_against_it(
    void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.shakes_hands = false;
    begin(rig);
    assert_true(rig.until([&] { return resolver.sessions() == 1; }));
    resolver.shakes_hands = true;
    assert_int_equal(rcode(rig.resolve("www.example")), noerror);
    rig.pass(rig.config.timeouts.connect);
    assert_true(finish(rig));
    assert_true(none_troubled(rig));
}

// A host that boots, and one without IPv6.
void test_check_when_there_is_no_way_then_it_is_tried_again_for_a_while(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.config.upstreams.push_back({.name = "dns.example",
                                    .addresses = {*Address::parse(no_way, 853)},
                                    .pins = {},
                                    .ca_file = {},
                                    .ca_place = {}});
    begin(rig);
    rig.pass(rig.check_timing.patience - 2s);
    assert_false(rig.health_check().is_over());
    const auto connects = rig.upstream(1).get(UpstreamCounter::connects);
    assert_in_range(connects, 5, 10);
    rig.pass(rig.check_timing.patience);
    assert_true(rig.health_check().is_over());
    assert_in_range(rig.upstream(1).get(UpstreamCounter::connects), connects + 1, 10);
    assert_true(none_troubled(rig));
    assert_int_equal(rig.upstream(0).get(UpstreamCounter::connects), 1);
}

void test_stop_when_under_way_then_it_ends_in_this_turn(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& stalling = rig.add_upstream();
    Resolver& silent = rig.add_upstream();
    stalling.shakes_hands = false;
    silent.answers = false;
    rig.config.upstreams.push_back({.name = "dns.example",
                                    .addresses = {*Address::parse(no_way, 853)},
                                    .pins = {},
                                    .ca_file = {},
                                    .ca_place = {}});
    begin(rig);
    assert_true(rig.until([&] { return stalling.sessions() == 1 && silent.asked.size() == 1; }));
    rig.in_turn([&rig] { rig.health_check().stop(); });
    assert_true(rig.health_check().is_over());
    assert_true(rig.until([&] { return !silent.is_open(0); }));
    assert_true(silent.left_in_order(0));
    rig.pass(10min);
    assert_true(none_troubled(rig));
    assert_int_equal(rig.count(UpstreamCounter::connects), 3);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_check_when_all_work_then_each_is_asked_once_and_left,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_check_when_a_question_was_answered_then_it_is_spared,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_check_when_a_question_hangs_then_it_is_made_after_a_second, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_check_when_another_worker_was_answered_then_it_is_spared, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_check_when_another_worker_was_answered_before_then_it_is_made, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_check_when_it_works_then_the_first_question_resumes,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_check_when_not_trusted_or_not_there_then_the_other_is_asked_at_once, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_check_when_no_answer_then_it_is_not_held_against_the_upstream, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_check_when_in_vain_but_questions_are_answered_then_nothing_is_held_against_it,
            make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_check_when_there_is_no_way_then_it_is_tried_again_for_a_while, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_stop_when_under_way_then_it_ends_in_this_turn,
                                        make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("upstream/health_check", tests, make_world, free_world);
}
