// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What becomes of a cookie on its way through a worker: limits 14 and 44.

#include "relay/allocations.hh"
#include "relay/cookies.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <algorithm>
#include <array>
#include <memory>

using dotproxy::Address;
using dotproxy::Client;
using dotproxy::Cookies;
using dotproxy::dns::Cookie;
using dotproxy::dns::Octets;
using dotproxy::dns::test::Bytes;
using dotproxy::dns::test::find_option;
using namespace std::chrono_literals;

namespace {

/// A query that carries these octets as its cookie.
dotproxy::dns::test::Message with_cookie(std::string_view name, Octets data) {
    Bytes options;
    options.option(10, data);
    dotproxy::dns::test::Message message = dotproxy::dns::test::query(name);
    message.opt(options.octets(), 1232);
    return message;
}

constexpr std::array<std::uint8_t, 8> one{1, 2, 3, 4, 5, 6, 7, 8};
constexpr std::array<std::uint8_t, 8> other{8, 7, 6, 5, 4, 3, 2, 1};

bool is_good(const Rig& rig, Octets cookie) {
    const auto client = dotproxy::AddressBits::of(*Address::parse("127.0.0.1", 0));
    return cookie.size() == sizeof(Cookie) &&
           Cookies{rig.cookie_secrets}.check(cookie, client, Cookies::wall_time()).valid();
}

// Who joins the question of another gets a cookie of his own; nothing of either goes upstream.
void test_ask_when_joined_then_each_gets_his_own_cookie(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    const UdpClient first{rig.udp_address()};
    const UdpClient second{rig.udp_address()};
    const UdpClient plain{rig.udp_address()};
    first.send(with_cookie("www.example", one).octets());
    second.send(with_cookie("www.example", other).octets());
    plain.send(query("www.example", 3));
    assert_true(rig.until([&] { return rig.count(Counter::joined) == 2; }));
    wait_for_queries(rig, resolver, 1);
    resolver.answer(resolver.take());
    const auto to_first = answer_to(rig, first);
    const auto to_second = answer_to(rig, second);
    const auto to_plain = answer_to(rig, plain);
    const auto first_cookie = find_option(to_first, 10);
    const auto second_cookie = find_option(to_second, 10);
    assert_true(is_good(rig, first_cookie.data) && is_good(rig, second_cookie.data));
    assert_memory_equal(first_cookie.data.data(), one.data(), one.size());
    assert_memory_equal(second_cookie.data.data(), other.data(), other.size());
    assert_int_equal(dotproxy::dns::test::layout(to_plain).opts, 0);
    assert_int_equal(rig.count(Counter::cookies_valid) + rig.count(Counter::cookies_bad), 0);
}

// No allocation, with whatever cookie.
void test_ask_when_it_is_a_hit_then_a_cookie_allocates_nothing(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.cache.size = dotproxy::CacheMemory::smallest;
    rig.config.cache.max_ttl = 24h;
    rig.cache = std::make_shared<const dotproxy::CacheMemory>(rig.config.cache.size, 0);
    rig.add_upstream();
    rig.open();
    assert_false(rig.resolve("www.example").empty());
    const Client client{
        .front = &rig.udp(), .peer = *Address::parse("127.0.0.1", 9), .asked_at = rig.now()};
    const Cookie good = Cookies{rig.cookie_secrets}.make(
        one, dotproxy::AddressBits::of(client.peer), Cookies::wall_time());
    std::size_t allocated = 0;
    for (const Octets cookie : {Octets{one}, Octets{good}, Octets{good}.first(16)}) {
        const auto message = with_cookie("www.example", cookie);
        const std::size_t before = dotproxy::test::allocations();
        assert_true(rig.relay().ask(client, message.octets()));
        allocated += dotproxy::test::allocations() - before;
    }
    assert_int_equal(allocated, 0);
    assert_int_not_equal(dotproxy::test::allocations(), 0); // they are counted
    assert_int_equal(rig.count(Counter::cache_hits), 3);
    assert_int_equal(rig.count(Counter::cookies_valid), 1);
    assert_int_equal(rig.count(Counter::cookies_bad), 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ask_when_joined_then_each_gets_his_own_cookie,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_it_is_a_hit_then_a_cookie_allocates_nothing,
                                        make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("relay/cookie_answers", tests, make_world, free_world);
}
