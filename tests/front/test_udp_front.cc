// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/udp_front.hh"

#include "front/wildcard.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <sys/socket.h>

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::Fd;

namespace {

constexpr unsigned noerror = 0;

Resolver& serve(Rig& rig) {
    Resolver& resolver = rig.add_upstream();
    rig.open();
    return resolver;
}

// More than a batch of either direction holds.
void test_queries_when_many_at_once_then_each_client_gets_its_answer(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const UdpClient first{rig.udp_address()};
    const UdpClient second{rig.udp_address()};
    for (std::uint16_t id = 0; id < 200; ++id) {
        const Message one = query("n" + std::to_string(id) + ".example", id);
        (id % 2 == 0 ? first : second).send(one);
    }
    assert_true(rig.until([&] { return resolver.asked.size() == 200; }));
    while (!resolver.asked.empty()) {
        resolver.answer(resolver.take());
    }
    std::set<unsigned> even;
    std::set<unsigned> odd;
    for (int i = 0; i < 100; ++i) {
        even.insert(dotproxy::dns::id(answer_to(rig, first)));
        odd.insert(dotproxy::dns::id(answer_to(rig, second)));
    }
    assert_int_equal(even.size(), 100);
    assert_int_equal(odd.size(), 100);
    assert_true(std::ranges::all_of(even, [](unsigned id) { return id % 2 == 0; }));
    assert_true(std::ranges::all_of(odd, [](unsigned id) { return id % 2 == 1; }));
    assert_int_equal(rig.count(Counter::udp_queries), 200);
    assert_int_equal(rig.count(Counter::udp_answers), 200);
}

// C24: what is larger than we take is cut by the kernel, and nothing can be said of it.
void test_query_when_4096_octets_then_taken_and_when_more_then_dropped(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const UdpClient client{rig.udp_address()};
    for (const std::size_t size : {std::size_t{4097}, std::size_t{4096}}) {
        dotproxy::dns::test::Message large = dotproxy::dns::test::query("large.example");
        const std::size_t option = size - large.size() - 11 - 4;
        dotproxy::dns::test::Bytes rdata;
        rdata.u16(12).u16(static_cast<unsigned>(option)).fill(option, 0); // padding
        large.opt(rdata.octets());
        assert_int_equal(large.size(), size);
        client.send(large.octets());
    }
    assert_int_equal(rcode(answer_to(rig, client)), noerror);
    assert_int_equal(rig.count(Counter::dropped), 1);
    assert_int_equal(rig.count(Counter::udp_queries), 2);
}

// C33, C35: at most 1232 octets, whatever is offered.
void test_answer_when_larger_than_we_send_then_truncated(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const UdpClient client{rig.udp_address()};
    dotproxy::dns::test::Message asking =
        dotproxy::dns::test::query("large.example", dotproxy::dns::type::txt);
    asking.opt({}, 65535);
    client.send(asking.octets());
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    dotproxy::dns::test::Message message = right_answer(resolver.asked[0]);
    message.pointer(12).u16(dotproxy::dns::type::txt).u16(1).u32(300).u16(1250);
    message.fill(1250, 0); // strings of no octets
    message.count(dotproxy::dns::test::Section::answer);
    resolver.send(0, message.octets());
    const Message answer = answer_to(rig, client);
    assert_true(answer.size() <= 1232);
    assert_true((dotproxy::dns::flags(answer) & dotproxy::dns::flag::truncated) != 0);
    assert_int_equal(dotproxy::dns::ancount(answer), 0);
    assert_int_equal(rig.count(Counter::truncated), 1);
}

// C37: all of 127.0.0.0/8 is this host; routing alone would answer from 127.0.0.1.
void test_answer_when_wildcard_then_from_the_address_that_was_asked(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    Wildcard wildcard{rig, "0.0.0.0"};
    expect_answer_from(wildcard, "127.0.0.1");
    expect_answer_from(wildcard, "127.0.0.53");
    expect_answer_from(wildcard, "127.1.2.3");
}

// RFC 1122, section 3.2.1.3: nothing leaves from a broadcast address.
void test_answer_when_a_broadcast_address_was_asked_then_from_the_interfaces_own(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.open();
    Wildcard wildcard{rig, "0.0.0.0"};
    const Fd client{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    const int allowed = 1;
    assert_int_equal(::setsockopt(client.get(), SOL_SOCKET, SO_BROADCAST, &allowed, sizeof allowed),
                     0);
    const Address everybody = *Address::parse("127.255.255.255", wildcard.port);
    Message update = query("www.example", 7);
    update[2] = 5 << 3; // UPDATE: NOTIMP, without an upstream
    assert_int_equal(
        ::sendto(client.get(), update.data(), update.size(), 0, everybody.data(), everybody.size()),
        update.size());
    Message answer(512);
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    ssize_t count = -1;
    for (int i = 0; count < 0 && i < 5000; ++i) {
        wildcard.front.on_ready(EPOLLIN);
        wildcard.front.flush();
        count = ::recvfrom(client.get(), answer.data(), answer.size(), MSG_DONTWAIT,
                           reinterpret_cast<sockaddr*>(&name), &size);
    }
    assert_true(count > 0);
    assert_int_equal(dotproxy::dns::id(answer), 7);
    assert_string_equal(Address::from(name)->text().c_str(),
                        Address::parse("127.0.0.1", wildcard.port)->text().c_str());
}

// L43: the port unreachable that an answer meets must not stop the others behind it.
void test_answer_when_the_client_has_gone_then_the_others_get_theirs(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const UdpClient client{rig.udp_address()};
    for (std::uint16_t id = 0; id < 10; ++id) {
        {
            const UdpClient gone{rig.udp_address()};
            gone.send(query("gone" + std::to_string(id) + ".example", id));
        }
        client.send(query("here" + std::to_string(id) + ".example", id));
        assert_true(rig.until([&] { return resolver.asked.size() == 2; }));
        resolver.answer(resolver.take());
        resolver.answer(resolver.take());
        assert_int_equal(dotproxy::dns::id(answer_to(rig, client)), id);
    }
}

// What this worker was woken for is not left to others, which were not woken.
void test_drain_then_what_waits_is_taken_and_nothing_after(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const UdpClient client{rig.udp_address()};
    client.send(query("before.example", 1));
    rig.in_turn([&] { rig.udp().drain(); });
    assert_int_equal(rig.count(Counter::udp_queries), 1);
    client.send(query("after.example", 2));
    assert_int_equal(dotproxy::dns::id(answer_to(rig, client)), 1);
    rig.pass(1s);
    assert_int_equal(rig.count(Counter::udp_queries), 1); // it waits for the next generation
}

/// A socket whose queue is short, in front of a gate for which this host's addresses are as any
/// others'; two who ask there, and a clock.
struct Crowded {
    Crowded(Rig& its_rig, double factor) : rig{open(its_rig, factor)} {
        const int size = 1 << 18;
        assert_int_equal(
            ::setsockopt(wildcard.listener.socket.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size),
            0);
    }

    static Rig& open(Rig& rig, double factor) {
        rig.config.limits.mode = dotproxy::LimitsConfig::Mode::on;
        rig.config.limits.client_rate = 0; // this is no rate
        rig.config.limits.networks.set(*dotproxy::Prefix::parse("127.0.0.0/8"), factor);
        serve(rig);
        return rig;
    }

    /// So many turns, before each of which one asks once, and the other as much as is read in a
    /// turn; the queue is long from the beginning. Then what is left in it is read.
    void run(unsigned turns) {
        send(400);
        for (unsigned i = 0; i < turns; ++i) {
            one.send(query("localhost", 1));
            send(64);
            turn();
        }
        overloaded = wildcard.turn.overloaded();
        for (unsigned i = 0; i < 300; ++i) {
            turn();
        }
    }

    void send(unsigned count) const {
        for (unsigned i = 0; i < count; ++i) {
            other.send(query("localhost", 2));
        }
    }

    void turn() {
        rig.pass(dotproxy::QueuePrice::between_looks);
        wildcard.turn.now = rig.now();
        wildcard.front.on_ready(EPOLLIN);
        wildcard.front.flush();
        std::array<std::uint8_t, 512> room{};
        while (one.receive_into(room) > 0) {
            ++answered;
        }
        while (other.receive_into(room) > 0) {
        }
    }

    [[nodiscard]] std::uint64_t dropped() const {
        return wildcard.counters.slot(0).get(Counter::overload_dropped);
    }

    Rig& rig;
    Wildcard wildcard{rig, "0.0.0.0"};
    UdpClient one{*Address::parse("127.0.0.1", wildcard.port), Address::parse("127.0.0.2", 0)};
    UdpClient other{*Address::parse("127.0.0.1", wildcard.port), Address::parse("127.0.0.3", 0)};
    unsigned answered{0}; // of the one
    bool overloaded{false};
};

// limits 28: the queue stays long until who fills it is dropped; who asks little is always heard.
void test_overload_when_one_asks_too_much_then_dropped_and_the_other_is_not(void** state) {
    Crowded crowded{*static_cast<Rig*>(*state), 1};
    crowded.run(100);
    assert_true(crowded.dropped() > 0);
    assert_int_equal(crowded.answered, 100);
    assert_true(crowded.overloaded);
    assert_false(crowded.wildcard.turn.overloaded()); // it is over
}

// What comes from this host is not held up, as long as limits.networks does not say so.
void test_overload_when_this_host_asks_too_much_then_nothing_dropped(void** state) {
    Crowded crowded{*static_cast<Rig*>(*state), 0};
    crowded.run(100);
    assert_int_equal(crowded.dropped(), 0);
    assert_int_equal(crowded.answered, 100);
    assert_false(crowded.overloaded);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_queries_when_many_at_once_then_each_client_gets_its_answer, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_query_when_4096_octets_then_taken_and_when_more_then_dropped, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_answer_when_larger_than_we_send_then_truncated,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_answer_when_wildcard_then_from_the_address_that_was_asked, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_answer_when_a_broadcast_address_was_asked_then_from_the_interfaces_own, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_answer_when_the_client_has_gone_then_the_others_get_theirs, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_drain_then_what_waits_is_taken_and_nothing_after,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_overload_when_one_asks_too_much_then_dropped_and_the_other_is_not, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_overload_when_this_host_asks_too_much_then_nothing_dropped, make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("front/udp_front", tests, make_world, free_world);
}
