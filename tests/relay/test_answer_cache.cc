// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Answers from the cache while they are fresh: what they look like, for how long, and to whom they
// are given. For what follows see test_answer_cache_stale.cc.

#include "relay/answer_cache.hh"

#include "relay/allocations.hh"
#include "relay/cache_rig.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <string>

using namespace std::chrono_literals;
using namespace dotproxy::test;
using dotproxy::Counter;
using dotproxy::UpstreamCounter;
using dotproxy::dns::test::Bytes;
using dotproxy::dns::test::dnssec_ok;
using dotproxy::dns::test::layout;

namespace dns = dotproxy::dns;

namespace {

/// The octets of the question of a message with one.
std::span<const std::uint8_t> question_of(const Message& message) {
    return std::span{message}.subspan(12, layout(message).question_end - 12);
}

/// An answer of so many octets in all, without an OPT.
dns::test::Message of_size(const Asked& asked, std::size_t size) {
    constexpr std::size_t owner_to_rdata = 12;
    constexpr std::size_t most = 16000;
    dns::test::Message message{asked.id, dns::test::response_flags};
    message.question(asked.name, asked.type);
    while (message.size() < size) {
        std::size_t take = std::min(most, size - message.size());
        if (const std::size_t rest = size - message.size() - take; rest > 0 && rest < 16) {
            take -= 16;
        }
        message.pointer(dns::header_size).u16(asked.type).u16(dns::klass::in).u32(300);
        message.u16(static_cast<unsigned>(take - owner_to_rdata));
        message.fill(take - owner_to_rdata, 0x41);
        message.count(dns::test::Section::answer);
    }
    return message;
}

// C31, C40, C41, L20: who asked decides about ID, spelling and OPT; the rest is the same.
void test_look_up_when_known_then_each_asker_gets_it_his_own_way(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    const Message direct = learn(rig, resolver, "www.example", 300);
    const Message one = make_query("WWW.eXample", {.id = 1});
    const Message two = make_query("wwW.exampLE", {.id = 2, .edns = false});
    const Message to_one = ask(rig, one);
    const Message to_two = ask(rig, two);
    assert_int_equal(dns::id(to_one), 1);
    assert_int_equal(dns::id(to_two), 2);
    assert_true(std::ranges::equal(question_of(to_one), question_of(one)));
    assert_true(std::ranges::equal(question_of(to_two), question_of(two)));
    assert_int_equal(layout(to_one).opts, 1);
    assert_int_equal(layout(to_two).opts, 0);
    assert_true(layout(to_one).sound && layout(to_two).sound);
    Message same = direct; // but for the ID and the spelling
    dns::set_id(same, 1);
    std::ranges::copy(question_of(one), same.begin() + 12);
    assert_true(same == to_one);
    assert_int_equal(error_of(to_one), no_error_told);
    assert_int_equal(rig.count(Counter::cache_hits), 2);
    assert_int_equal(rig.count(Counter::cache_misses), 1);
    assert_int_equal(asked_upstream(rig), 1);
    assert_true(nothing_waits(rig));
}

// L82, RFC 2181 section 5.4.1: nobody sees what stands beside the answer, and it is not kept.
void test_learn_when_records_are_beside_the_answer_then_kept_without_them(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    const UdpClient client{rig.udp_address()};
    client.send(make_query("www.example", {.edns = false}));
    assert_true(rig.until([&] { return !resolver.asked.empty(); }));
    const Message whole = [&] {
        const dns::test::Message made = with_ttl(resolver.asked[0], 300);
        return Message{made.octets().begin(), made.octets().end()};
    }();
    dns::test::Message mixed = with_ttl(resolver.asked[0], 300);
    mixed.record(dns::test::Section::answer, "bank.example", dns::type::a, dns::test::address);
    resolver.send(0, mixed.octets());
    Message direct = answer_to(rig, client);
    assert_int_equal(rig.count(UpstreamCounter::refused), 1);
    const Message kept = ask(rig, make_query("www.example", {.edns = false}));
    assert_int_equal(rig.count(Counter::cache_hits), 1);
    assert_true(direct == kept);
    dns::set_id(direct, dns::id(whole));
    assert_true(direct == whole);
    assert_int_equal(rig.failures(), 0);
    assert_true(nothing_waits(rig));
}

// C81: second by second, and at 0 it is over.
void test_look_up_when_time_passes_then_ttl_ages_to_one_and_ends(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache = default_cache();
    rig.config.cache.prefetch = false;
    Resolver& resolver = serve_cached(rig);
    assert_int_equal(ttl_of(learn(rig, resolver, "www.example", 4)), 4);
    const Message query = make_query("www.example");
    assert_int_equal(ttl_of(ask(rig, query)), 4);
    rig.pass(999ms);
    assert_int_equal(ttl_of(ask(rig, query)), 4);
    rig.pass(1ms);
    assert_int_equal(ttl_of(ask(rig, query)), 3);
    rig.pass(2s);
    assert_int_equal(ttl_of(ask(rig, query)), 1);
    rig.pass(999ms);
    assert_int_equal(ttl_of(ask(rig, query)), 1);
    assert_int_equal(asked_upstream(rig), 1);
    rig.pass(1ms);
    assert_int_equal(ttl_of(learn(rig, resolver, "www.example", 7)), 7);
    assert_int_equal(asked_upstream(rig), 2);
    assert_int_equal(ttl_of(ask(rig, query)), 7);
}

/// What becomes of an answer with this TTL: the TTL that a hit has, 0 if there is none.
std::uint32_t kept_ttl(Rig& rig, Resolver& resolver, std::string_view name, std::uint32_t ttl) {
    static_cast<void>(learn(rig, resolver, name, ttl));
    const std::uint64_t before = rig.count(Counter::cache_hits);
    const UdpClient client{rig.udp_address()};
    client.send(make_query(name));
    Message answer;
    assert_true(
        rig.until([&] { return !resolver.asked.empty() || !(answer = client.receive()).empty(); }));
    if (answer.empty()) {
        resolver.answer(resolver.take());
        static_cast<void>(answer_to(rig, client));
        return 0;
    }
    assert_int_equal(rig.count(Counter::cache_hits), before + 1);
    return ttl_of(answer);
}

// L22, C82: none of these is a TTL of years, or one from long ago.
void test_look_up_when_ttl_is_extreme_then_within_bounds(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    constexpr std::uint32_t day = 86400;
    assert_int_equal(kept_ttl(rig, resolver, "zero.example", 0), 0);
    assert_int_equal(kept_ttl(rig, resolver, "one.example", 1), 1);
    assert_int_equal(kept_ttl(rig, resolver, "day.example", day), day);
    assert_int_equal(kept_ttl(rig, resolver, "more.example", day + 1), day);
    assert_int_equal(kept_ttl(rig, resolver, "most.example", 0x7fffffff), day);
    assert_int_equal(kept_ttl(rig, resolver, "sign.example", 0x80000000), 0);
    assert_int_equal(kept_ttl(rig, resolver, "all.example", 0xffffffff), 0);
}

void test_look_up_when_min_ttl_then_kept_longer_but_for_what_must_not_be(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache = default_cache();
    rig.config.cache.min_ttl = 60s;
    rig.config.cache.max_ttl = 100s;
    Resolver& resolver = serve_cached(rig);
    assert_int_equal(kept_ttl(rig, resolver, "one.example", 1), 60);
    assert_int_equal(kept_ttl(rig, resolver, "more.example", 101), 100);
    assert_int_equal(kept_ttl(rig, resolver, "zero.example", 0), 0);
    rig.pass(59s);
    assert_int_equal(ttl_of(ask(rig, make_query("one.example"))), 1);
}

// C83, C84
void test_look_up_when_denied_then_known_for_as_long_as_the_soa_says(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache = default_cache();
    rig.config.cache.prefetch = false;
    Resolver& resolver = serve_cached(rig);
    for (const unsigned code : {nxdomain, noerror}) {
        const std::string name = "no" + std::to_string(code) + ".example";
        const Message query = make_query(name);
        const std::uint64_t before = asked_upstream(rig);
        const auto say = [&](const Asked& asked) { return denial(asked, code, 900, 10); };
        static_cast<void>(ask(rig, resolver, query, say));
        rig.pass(9999ms);
        const Message hit = ask(rig, query);
        assert_int_equal(rcode(hit), code);
        assert_int_equal(dns::nscount(hit), 1);
        // Behind the owner, which is "example".
        assert_int_equal(dns::load32(hit, layout(hit).question_end + 9 + 4), 1);
        assert_int_equal(asked_upstream(rig), before + 1);
        rig.pass(1ms);
        static_cast<void>(ask(rig, resolver, query, say));
        assert_int_equal(asked_upstream(rig), before + 2);
    }
}

void test_look_up_when_denied_without_soa_then_not_known(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    for (const unsigned code : {nxdomain, noerror}) {
        const Message query = make_query("no" + std::to_string(code) + ".example");
        for (int i = 0; i < 2; ++i) {
            assert_int_equal(
                rcode(
                    ask(rig, resolver, query,
                        [&](const Asked& asked) {
                            dns::test::Message message{asked.id, dns::test::response_flags | code};
                            return message.question(asked.name, asked.type);
                        })),
                code);
        }
    }
    assert_int_equal(rig.count(Counter::cache_hits), 0);
}

// C80, L20: what makes another question has an entry of its own, and does not take another's.
void test_look_up_when_the_question_differs_in_a_bit_then_not_the_same(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    constexpr unsigned rd = dns::test::query_flags;
    Bytes zero_prefix; // RFC 7871: family 1, no octets
    zero_prefix.u16(1).u8(0).u8(0);
    Bytes opt_out;
    opt_out.option(8, zero_prefix.octets());
    const std::array<How, 7> kinds{How{},
                                   How{.flags = rd | 0x10}, // CD
                                   How{.flags = rd | 0x20}, // AD
                                   How{.flags = 0},         // no RD
                                   How{.opt_flags = dnssec_ok},
                                   How{.options = opt_out.octets()},
                                   How{.type = 65280}};
    std::uint32_t ttl = 1000;
    for (const How& how : kinds) {
        ++ttl;
        const Message query = make_query("www.example", how);
        assert_int_equal(ttl_of(ask(rig, resolver, query,
                                    [&](const Asked& asked) { return with_ttl(asked, ttl); })),
                         ttl);
    }
    assert_int_equal(asked_upstream(rig), kinds.size());
    ttl = 1000;
    for (const How& how : kinds) {
        assert_int_equal(ttl_of(ask(rig, make_query("www.example", how))), ++ttl);
    }
    assert_int_equal(asked_upstream(rig), kinds.size());
    // No part of the question: the size, padding, another spelling.
    Bytes padding;
    padding.option(12, Bytes{}.fill(77, 0).octets());
    assert_int_equal(ttl_of(ask(rig, make_query("Www.example", {.payload = 4096}))), 1001);
    assert_int_equal(ttl_of(ask(rig, make_query("www.example", {.options = padding.octets()}))),
                     1001);
    assert_int_equal(rig.count(Counter::cache_hits), kinds.size() + 2);
}

// C86, C87
void test_look_up_when_no_data_is_asked_for_then_never_known(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    const std::array<How, 3> kinds{How{.type = dns::type::any}, How{.klass = dns::klass::ch},
                                   How{.type = 253}};
    for (const How& how : kinds) {
        for (int i = 0; i < 2; ++i) {
            const Message got =
                ask(rig, resolver, make_query("www.example", how), [&](const Asked& asked) {
                    dns::test::Message message{asked.id, dns::test::response_flags};
                    message.question(asked.name, how.type, how.klass).pointer(12);
                    return message.rest(dns::test::Section::answer, dns::type::a,
                                        dns::test::address, how.klass);
                });
            assert_int_equal(rcode(got), noerror);
        }
    }
    // Nor is the address that they held.
    static_cast<void>(learn(rig, resolver, "www.example", 300));
    assert_int_equal(rig.count(Counter::cache_hits), 0);
}

// C25: nobody else's answer is signed for it, and its answer is nobody else's.
void test_look_up_when_signed_then_asked_upstream(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    dns::test::Message sealed = dns::test::query("www.example");
    Bytes rdata;
    rdata.name("hmac-sha256").u16(0).u32(1).u16(300).u16(4).u32(7).u16(0x1234).u16(0).u16(0);
    sealed.record(dns::test::Section::additional, "key", dns::type::tsig, rdata.octets(),
                  dns::klass::any);
    const Message query{sealed.octets().begin(), sealed.octets().end()};
    const auto address = [](const Asked& asked) { return with_ttl(asked, 300); };
    static_cast<void>(ask(rig, resolver, query, address));
    static_cast<void>(learn(rig, resolver, "www.example", 300));
    static_cast<void>(ask(rig, resolver, query, address));
    assert_int_equal(asked_upstream(rig), 3);
    assert_int_equal(rig.count(Counter::cache_hits), 0);
}

// C36, L23: one size code for all; what is kept whole is cut for each asker.
void test_look_up_when_large_then_whole_over_tcp_and_tc_over_udp(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    for (const std::size_t size : {600U, 1232U, 20000U, 65535U}) {
        const std::string name = "n" + std::to_string(size) + ".example";
        const Message query = make_query(name, {.edns = false, .type = 65280});
        TcpClient client{rig.tcp_address()};
        client.send(query);
        assert_true(rig.until([&] { return !resolver.asked.empty(); }));
        const Asked asked = resolver.take();
        resolver.send(asked.session, of_size(asked, size).octets());
        Message direct;
        assert_true(rig.until([&] { return !(direct = client.receive()).empty(); }));
        assert_int_equal(direct.size(), size);
        const std::uint64_t before = asked_upstream(rig);
        Message hit;
        client.send(query);
        assert_true(rig.until([&] { return !(hit = client.receive()).empty(); }));
        assert_true(hit == direct);
        const Message small = ask(rig, query);
        assert_true((dns::flags(small) & dns::flag::truncated) != 0);
        assert_true(small.size() <= 512 && dns::ancount(small) == 0);
        const Message medium = ask(rig, make_query(name, {.payload = 4096, .type = 65280}));
        assert_int_equal((dns::flags(medium) & dns::flag::truncated) != 0, size > 1232 - 11);
        assert_int_equal(asked_upstream(rig), before);
    }
}

void test_look_up_when_pipelined_then_all_at_once_and_in_order(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    static_cast<void>(learn(rig, resolver, "www.example", 300));
    TcpClient client{rig.tcp_address()};
    Message stream;
    constexpr std::uint16_t count = 100;
    for (std::uint16_t id = 0; id < count; ++id) {
        const Message frame = TcpClient::frame(make_query("www.example", {.id = id}));
        stream.insert(stream.end(), frame.begin(), frame.end());
    }
    assert_int_equal(client.send_raw(stream), stream.size());
    for (std::uint16_t id = 0; id < count; ++id) {
        Message got;
        assert_true(rig.until([&] { return !(got = client.receive()).empty(); }));
        assert_int_equal(dns::id(got), id);
        assert_int_equal(dns::ancount(got), 1);
    }
    assert_int_equal(asked_upstream(rig), 1);
}

// An outage leaves cached names as fast as ever.
void test_look_up_when_all_places_are_taken_then_still_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries = 4;
    Resolver& resolver = serve_cached(rig);
    static_cast<void>(learn(rig, resolver, "www.example", 300));
    const UdpClient busy{rig.udp_address()};
    for (std::uint16_t id = 0; id < 4; ++id) {
        busy.send(query("n" + std::to_string(id) + ".example", id));
    }
    assert_true(rig.until([&] { return resolver.asked.size() == 4; }));
    assert_int_equal(rcode(ask(rig, make_query("late.example"))), servfail);
    assert_int_equal(ttl_of(ask(rig, make_query("www.example"))), 300);
    rig.pass(280s); // all have given up
    for (std::uint16_t id = 0; id < 4; ++id) {
        busy.send(query("m" + std::to_string(id) + ".example", id));
    }
    assert_true(rig.until([&] { return rig.count(Counter::queries_waiting) == 4; }));
    assert_int_equal(ttl_of(ask(rig, make_query("www.example"))), 20); // and no room to prefetch
    assert_int_equal(rig.count(Counter::cache_refreshes), 0);
}

void test_look_up_when_there_is_no_cache_then_always_asked(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    for (unsigned i = 1; i <= 3; ++i) {
        static_cast<void>(learn(rig, resolver, "www.example", 300));
        static_cast<void>(ask(rig, resolver, make_query("bad.example"),
                              [](const Asked& asked) { return failure(asked); }));
        assert_int_equal(asked_upstream(rig), i * 2);
    }
    assert_int_equal(rig.count(Counter::cache_hits), 0);
    assert_int_equal(rig.count(Counter::cache_misses), 0);
}

// What one worker learned is known to all, and to who comes after it.
void test_look_up_when_another_worker_learned_it_then_known(void** state) {
    Rig& first = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(first);
    static_cast<void>(learn(first, resolver, "www.example", 300));
    const auto second = std::make_unique<Rig>(first.world());
    serve_cached(*second, first.cache);
    second->pass(100s);
    assert_int_equal(ttl_of(ask(*second, make_query("www.example"))), 200);
    assert_int_equal(asked_upstream(*second), 0);
}

void test_look_up_when_known_then_nothing_is_allocated(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve_cached(rig);
    static_cast<void>(learn(rig, resolver, "www.example", 300));
    const UdpClient client{rig.udp_address()};
    const Message query = make_query("www.example");
    std::array<std::uint8_t, 1232> answer{};
    constexpr std::uint64_t hits = 1000;
    std::size_t allocated = 0;
    for (std::uint64_t i = 0; i < hits; ++i) {
        client.send(query);
        const std::size_t before = allocations();
        while (rig.count(Counter::cache_hits) == i) {
            rig.step();
        }
        allocated += allocations() - before;
        assert_true(client.receive_into(answer) > 0);
    }
    assert_int_equal(rig.count(Counter::udp_answers), hits + 1);
    assert_int_equal(allocated, 0);
    assert_int_not_equal(allocations(), 0); // they are counted
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_learn_when_records_are_beside_the_answer_then_kept_without_them, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_known_then_each_asker_gets_it_his_own_way,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_time_passes_then_ttl_ages_to_one_and_ends,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_ttl_is_extreme_then_within_bounds,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_min_ttl_then_kept_longer_but_for_what_must_not_be, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_denied_then_known_for_as_long_as_the_soa_says, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_denied_without_soa_then_not_known,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_look_up_when_the_question_differs_in_a_bit_then_not_the_same, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_no_data_is_asked_for_then_never_known,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_signed_then_asked_upstream, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_large_then_whole_over_tcp_and_tc_over_udp,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_pipelined_then_all_at_once_and_in_order,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_all_places_are_taken_then_still_answered,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_there_is_no_cache_then_always_asked,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_another_worker_learned_it_then_known,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_look_up_when_known_then_nothing_is_allocated, make_rig,
                                        free_rig),
    };
    return cmocka_run_group_tests_name("relay/answer_cache", tests, make_world, free_world);
}
