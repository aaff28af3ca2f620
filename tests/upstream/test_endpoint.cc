// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/endpoint.hh"

#include "http/client_context.hh"
#include "tls/shop.hh"
#include "unit.hh"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#undef fail // a macro of cmocka, and a function of the endpoint

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::Clock;
using dotproxy::Endpoint;
using dotproxy::TimePoint;
using dotproxy::Trouble;
using dotproxy::UpstreamConfig;
using dotproxy::UpstreamCounts;
using dotproxy::tls::ClientContext;
using dotproxy::tls::Identity;

namespace {

constexpr TimePoint start{24h};

/// What no test here asks for.
const ClientContext& trust() {
    static const dotproxy::tls::test::TemporaryFile file{
        dotproxy::tls::test::issue({.authority = true}).pem()};
    static const ClientContext context{file.path()};
    return context;
}

/// What an endpoint borrows, and the endpoint.
struct Case {
    Identity identity{*Identity::make("dns.example", {})};
    UpstreamConfig upstream{.name = "dns.example", .addresses = {}, .pins = {}};
    std::unique_ptr<UpstreamCounts> counts{std::make_unique<UpstreamCounts>()};
    Endpoint endpoint{1, upstream, *Address::parse("192.0.2.1", 853), identity, trust(), *counts};
};

/// The pause that follows a failure `outage` after the first one.
Clock::duration pause_after(Clock::duration outage, std::uint32_t random) {
    Case it;
    it.endpoint.fail(Trouble::unreachable, "first", start, random);
    it.endpoint.fail(Trouble::unreachable, "again", start + outage, random);
    return it.endpoint.retry_at() - (start + outage);
}

void test_new_then_it_may_be_tried(void** /*state*/) {
    Case it;
    assert_int_equal(it.endpoint.rank(), 1);
    assert_string_equal(it.endpoint.text().c_str(), "dns.example at 192.0.2.1:853");
    assert_true(it.endpoint.trouble() == Trouble::none);
    assert_true(it.endpoint.retry_at() <= start);
    assert_true(it.endpoint.recover() == Trouble::none);
}

// A connection that was closed while idle says nothing: the next try costs no time (L34).
void test_fail_when_the_first_then_no_pause(void** /*state*/) {
    for (const std::uint32_t random : {0U, 511U, 0xffffffffU}) {
        Case it;
        it.endpoint.fail(Trouble::silent, "answers nothing", start, random);
        assert_true(it.endpoint.retry_at() == start);
        assert_true(it.endpoint.down_since() == start);
        assert_true(it.endpoint.trouble() == Trouble::silent);
        assert_string_equal(it.endpoint.reason().c_str(), "answers nothing");
    }
}

void test_fail_when_again_then_a_64th_of_the_outage(void** /*state*/) {
    constexpr std::uint32_t middle = 256; // no jitter
    assert_true(pause_after(0s, middle) == 50ms);
    assert_true(pause_after(3200ms, middle) == 50ms);
    assert_true(pause_after(6400ms, middle) == 100ms);
    assert_true(pause_after(64s, middle) == 1s);
    assert_true(pause_after(640s, middle) == 10s);
    assert_true(pause_after(24h * 365, middle) == 10s); // L36: it is never given up
}

// Hosts that lost the same upstream at the same moment must not come back at the same moment (L35).
void test_fail_then_the_pause_varies_by_a_quarter(void** /*state*/) {
    for (const Clock::duration outage : {Clock::duration{0s}, Clock::duration{64s}}) {
        const Clock::duration pause = pause_after(outage, 256);
        Clock::duration least = Clock::duration::max();
        Clock::duration most{};
        for (std::uint32_t random = 0; random < 4096; ++random) {
            const Clock::duration one = pause_after(outage, random * 1'048'573);
            least = std::min(least, one);
            most = std::max(most, one);
        }
        assert_true(least >= pause * 3 / 4);
        assert_true(least < pause * 4 / 5);
        assert_true(most <= pause * 5 / 4);
        assert_true(most > pause * 6 / 5);
    }
}

// The rate of tries while it stays down is bounded, and so is the time until it is found up again.
void test_fail_when_for_an_hour_then_few_tries_and_none_far_apart(void** /*state*/) {
    Case it;
    TimePoint now = start;
    int tries = 0;
    for (; now < start + 1h; ++tries) {
        it.endpoint.fail(Trouble::unreachable, "connect", now, static_cast<std::uint32_t>(tries));
        const Clock::duration pause = it.endpoint.retry_at() - now;
        assert_true(pause <= std::max<Clock::duration>((now - start) / 51, 63ms));
        now += std::max<Clock::duration>(pause, 1ms);
    }
    assert_in_range(tries, 300, 1000);
}

void test_fail_when_for_another_reason_then_still_the_same_outage(void** /*state*/) {
    Case it;
    it.endpoint.fail(Trouble::unreachable, "connect", start, 0);
    it.endpoint.fail(Trouble::untrusted, "expired", start + 1s, 0);
    assert_true(it.endpoint.down_since() == start);
    assert_true(it.endpoint.trouble() == Trouble::untrusted);
    assert_string_equal(it.endpoint.reason().c_str(), "expired");
}

void test_recover_then_as_new(void** /*state*/) {
    Case it;
    for (int i = 0; i < 10; ++i) {
        it.endpoint.fail(Trouble::silent, "nothing", start + 1h * i, 0);
    }
    assert_true(it.endpoint.recover() == Trouble::silent);
    assert_true(it.endpoint.trouble() == Trouble::none);
    assert_true(it.endpoint.retry_at() <= start);
    it.endpoint.fail(Trouble::unreachable, "once", start + 24h, 0);
    assert_true(it.endpoint.retry_at() == start + 24h);
    assert_true(it.endpoint.down_since() == start + 24h);
}

/// How many connects it may have at once from `now` on.
int burst_at(Endpoint& endpoint, TimePoint now) {
    int connects = 0;
    while (endpoint.retry_at() <= now && connects < 1000) {
        endpoint.note_connect(now);
        ++connects;
    }
    return connects;
}

// L35: some dozens for a burst of questions, 25 a second from then on, however long it goes.
void test_connect_when_again_and_again_then_a_burst_and_then_a_rate(void** /*state*/) {
    Case it;
    assert_int_equal(burst_at(it.endpoint, start), 50);
    assert_true(it.endpoint.retry_at() == start + 40ms);
    int connects = 0;
    for (auto time = 0ms; time <= 10s; time += 1ms) {
        connects += burst_at(it.endpoint, start + time);
    }
    assert_int_equal(connects, 250);
    assert_int_equal(burst_at(it.endpoint, start + 12s), 50); // two seconds of rest make a burst
}

// RFC 7766, section 6.2.3: who closes after some answers is connected to as often as need be.
void test_connect_when_each_is_of_use_then_no_limit(void** /*state*/) {
    Case it;
    for (int i = 0; i < 10'000; ++i) {
        assert_true(it.endpoint.retry_at() <= start);
        it.endpoint.note_connect(start);
        for (int answer = 0; answer < 4; ++answer) {
            it.endpoint.note_answer(start);
        }
    }
}

// A connection that served for days does not let a storm loose at its end.
void test_connect_after_a_million_answers_then_still_a_burst_only(void** /*state*/) {
    Case it;
    it.endpoint.note_connect(start);
    for (int i = 0; i < 1'000'000; ++i) {
        it.endpoint.note_answer(start);
    }
    assert_int_equal(burst_at(it.endpoint, start + 1s), 50);
}

// E86: what it has asked for itself holds, whatever else becomes of it.
void test_rest_then_it_is_not_tried_before(void** /*state*/) {
    Case it;
    it.endpoint.rest(start + 10s);
    it.endpoint.rest(start + 5s);
    assert_true(it.endpoint.rests_until() == start + 10s);
    assert_true(it.endpoint.retry_at() == start + 10s);
    it.endpoint.recover();
    assert_true(it.endpoint.retry_at() == start + 10s);
    it.endpoint.fail(Trouble::busy, "answers HTTP 503", start + 1s, 0);
    assert_true(it.endpoint.retry_at() == start + 10s);
    it.endpoint.fail(Trouble::busy, "answers HTTP 503", start + 1s + 640s, 256);
    assert_true(it.endpoint.retry_at() == start + 1s + 640s + 10s); // the later one
}

// E86: half of what was too much; and of what was sent together the rest tells how many were not.
void test_too_many_then_half_of_it(void** /*state*/) {
    Case it;
    assert_int_equal(it.endpoint.most_in_flight(), dotproxy::Slots::capacity);
    it.endpoint.note_too_many(3, start, start); // which a few never are
    assert_int_equal(it.endpoint.most_in_flight(), dotproxy::Slots::capacity);
    it.endpoint.note_too_many(37, start, start + 1s);
    assert_int_equal(it.endpoint.most_in_flight(), 19);
    for (std::size_t left = 36; left >= 16; --left) { // were sent before that was known
        it.endpoint.note_too_many(left, start + 1s, start + 1s);
    }
    assert_int_equal(it.endpoint.most_in_flight(), 16);
    it.endpoint.note_too_many(100, start + 2s, start + 3s); // more than may be any more
    assert_int_equal(it.endpoint.most_in_flight(), 8);
    it.endpoint.note_too_many(1, start + 2s, start + 3s);
    assert_int_equal(it.endpoint.most_in_flight(), 4); // it is asked all the same
}

// E86: one more for each hundred answers, twice as many after a while, and never more than there
// are slots.
void test_too_many_then_more_with_answers(void** /*state*/) {
    Case it;
    it.endpoint.note_too_many(19, start, start + 1ms);
    for (int i = 0; i < 99; ++i) {
        it.endpoint.note_answer(start);
    }
    assert_int_equal(it.endpoint.most_in_flight(), 10);
    it.endpoint.note_answer(start);
    assert_int_equal(it.endpoint.most_in_flight(), 11);
    for (int i = 0; i < 50; ++i) {
        it.endpoint.note_answer(start);
    }
    it.endpoint.note_too_many(11, start + 1s, start + 1s);
    assert_int_equal(it.endpoint.most_in_flight(), 5);
    for (int i = 0; i < 99; ++i) { // they begin anew
        it.endpoint.note_answer(start);
    }
    assert_int_equal(it.endpoint.most_in_flight(), 5);
    it.endpoint.note_answer(start + 5999ms);
    assert_int_equal(it.endpoint.most_in_flight(), 6);
    it.endpoint.note_answer(start + 6s);
    assert_int_equal(it.endpoint.most_in_flight(), 12);
    for (int i = 0; i < 1'000'000; ++i) {
        it.endpoint.note_answer(start + 6s);
    }
    assert_int_equal(it.endpoint.most_in_flight(), dotproxy::Slots::capacity);
}

// Who was silent, or answered in another way than with answers, has to answer one of ours, unless
// that is in vain, which says nothing of questions.
void test_must_answer_probe_then_by_its_trouble(void** /*state*/) {
    for (const Trouble trouble : {Trouble::silent, Trouble::busy, Trouble::unfit}) {
        Case it;
        assert_false(it.endpoint.must_answer_probe());
        it.endpoint.fail(trouble, "answers HTTP 404", start, 0);
        for (int i = 0; i < 2; ++i) {
            assert_true(it.endpoint.must_answer_probe());
            it.endpoint.note_probe(false);
        }
        assert_false(it.endpoint.must_answer_probe());
        it.endpoint.note_trial(false);
        assert_true(it.endpoint.must_answer_probe());
        it.endpoint.note_trial(true);
        assert_true(it.endpoint.drops_probes() && !it.endpoint.must_answer_probe());
    }
    for (const Trouble trouble : {Trouble::unreachable, Trouble::untrusted}) {
        Case it;
        it.endpoint.fail(trouble, "connect", start, 0);
        assert_false(it.endpoint.must_answer_probe());
    }
}

void test_wire_then_what_is_spoken_with_it(void** /*state*/) {
    const Case plain;
    assert_int_equal(plain.endpoint.spoken(), dotproxy::tls::Spoken::dot);
    assert_false(plain.endpoint.make_wire(0x5a5a)->keeps_apart());

    dotproxy::http::ClientContext context;
    const dotproxy::http::Target target{"dns.example", "/dns-query"};
    Case it;
    const Endpoint https{0,
                         it.upstream,
                         it.endpoint.address(),
                         it.identity,
                         trust(),
                         *it.counts,
                         {.context = &context, .target = &target}};
    assert_int_equal(https.spoken(), dotproxy::tls::Spoken::http2);
    const auto wire = https.make_wire(0x5a5a);
    assert_true(wire->keeps_apart() && wire->is_sound() && wire->has_room());
    assert_true(context.memory().used > 0);
}

// RFC 8305, section 4: the families take turns, for as long as there are two.
void test_in_turns_then_families_alternate_and_each_keeps_its_order(void** /*state*/) {
    const auto address = [](const char* literal) { return *Address::parse(literal, 853); };
    const Address a4 = address("192.0.2.1");
    const Address b4 = address("192.0.2.2");
    const Address c4 = address("192.0.2.3");
    const Address a6 = address("2001:db8::1");
    const Address b6 = address("2001:db8::2");
    using Addresses = std::vector<Address>;
    assert_true((dotproxy::in_turns({a4, b4, a6, b6}) == Addresses{a4, a6, b4, b6}));
    assert_true((dotproxy::in_turns({a6, b6, a4, b4, c4}) == Addresses{a6, a4, b6, b4, c4}));
    assert_true((dotproxy::in_turns({b4, a4}) == Addresses{b4, a4}));
    assert_true((dotproxy::in_turns({a6}) == Addresses{a6}));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_new_then_it_may_be_tried),
        cmocka_unit_test(test_fail_when_the_first_then_no_pause),
        cmocka_unit_test(test_fail_when_again_then_a_64th_of_the_outage),
        cmocka_unit_test(test_fail_then_the_pause_varies_by_a_quarter),
        cmocka_unit_test(test_fail_when_for_an_hour_then_few_tries_and_none_far_apart),
        cmocka_unit_test(test_fail_when_for_another_reason_then_still_the_same_outage),
        cmocka_unit_test(test_recover_then_as_new),
        cmocka_unit_test(test_connect_when_again_and_again_then_a_burst_and_then_a_rate),
        cmocka_unit_test(test_connect_when_each_is_of_use_then_no_limit),
        cmocka_unit_test(test_connect_after_a_million_answers_then_still_a_burst_only),
        cmocka_unit_test(test_rest_then_it_is_not_tried_before),
        cmocka_unit_test(test_too_many_then_half_of_it),
        cmocka_unit_test(test_too_many_then_more_with_answers),
        cmocka_unit_test(test_must_answer_probe_then_by_its_trouble),
        cmocka_unit_test(test_wire_then_what_is_spoken_with_it),
        cmocka_unit_test(test_in_turns_then_families_alternate_and_each_keeps_its_order),
    };
    return cmocka_run_group_tests_name("upstream/endpoint", tests, nullptr, nullptr);
}
