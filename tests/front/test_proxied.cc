// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TCP clients of whom a proxy says who they are (E20, E74 to E76).

#include "front/tcp_front.hh"

#include "front/ends.hh"
#include "front/tcp_clients.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <array>
#include <memory>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::Fd;
using dotproxy::hand_over;
using dotproxy::Handed;
using dotproxy::ListenConfig;
using dotproxy::Protocol;
using dotproxy::take_over;
using dotproxy::test::answer_to;
using dotproxy::test::closed;
using dotproxy::test::exchange;
using dotproxy::test::serve;

namespace {

using Kind = Handed::Kind;

/// A listener behind proxies on this host, whose connections come to the worker by its handover.
class Proxied {
  public:
    explicit Proxied(Rig& rig, bool dot = false)
        : rig_{rig}, listener_{
                         dotproxy::open_listener(Protocol::tcp, *Address::parse("127.0.0.2", 0))} {
        address = *dotproxy::near_end(listener_.socket);
        ListenConfig listen{.address = address};
        listen.udp = false;
        listen.tcp = !dot;
        listen.dot = dot;
        listen.proxy_protocol = true;
        listen.trusted = {*dotproxy::Prefix::parse("127.0.0.0/8")};
        rig.config.listen.push_back(listen);
    }

    /// A connection, and what has been read of it.
    std::unique_ptr<TcpClient> connect(std::string_view unread = {},
                                       const Handed& whom = {.kind = Kind::newcomer}) {
        auto client = std::make_unique<TcpClient>(address);
        const Fd near{
            ::accept4(listener_.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        const std::span octets{reinterpret_cast<const std::uint8_t*>(unread.data()), unread.size()};
        assert_true(hand_over(rig_.handover, near.get(), octets, whom));
        return client;
    }

    /// The same, known to the worker.
    std::unique_ptr<TcpClient> come(std::string_view unread = {},
                                    const Handed& whom = {.kind = Kind::newcomer}) {
        const std::uint64_t before = rig_.count(Counter::tcp_clients);
        auto client = connect(unread, whom);
        assert_true(rig_.until([&] { return rig_.count(Counter::tcp_clients) > before; }));
        return client;
    }

    Address address;

  private:
    Rig& rig_;
    dotproxy::Listener listener_;
};

std::string header_of(const std::string& client) {
    return "PROXY TCP4 " + client + " 127.0.0.2 1 53\r\n";
}

/// One of version 2 with so much behind the addresses.
std::string long_header(std::size_t rest) {
    std::string header{"\r\n\r\n\0\r\nQUIT\n\x21\x11", 14};
    header += static_cast<char>((rest + 12) >> 8U);
    header += static_cast<char>((rest + 12) & 0xffU);
    header += std::string{"\x7f\0\0\x07\x7f\0\0\x02\0\x01\0\x35", 12};
    return header + std::string(rest, 'x');
}

void say(TcpClient& client, std::string_view text) {
    client.send_raw({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

// E75: what is held of a header looks like nothing else, be it a query by its length.
void test_header_when_in_pieces_then_the_question_behind_it_is_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Proxied proxied{rig};
    serve(rig);
    const std::string header = long_header(4000);
    std::vector<std::unique_ptr<TcpClient>> clients;
    for (const std::size_t cut : {1U, 2U, 16U, 28U, 3339U, 3340U, 3341U, 3500U, 4000U}) {
        TcpClient* const client = clients.emplace_back(proxied.come()).get();
        say(*client, std::string_view{header}.substr(0, cut));
        for (int i = 0; i < 3; ++i) {
            rig.step();
        }
        say(*client, std::string_view{header}.substr(cut));
        exchange(rig, *client, 1);
    }
    assert_int_equal(rig.count(Counter::tcp_answers), 9);
}

void test_header_when_octet_by_octet_then_taken(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Proxied proxied{rig};
    serve(rig);
    const auto client = proxied.come();
    for (const char octet : header_of("127.0.0.7")) {
        say(*client, {&octet, 1});
        rig.step();
    }
    exchange(rig, *client, 1);
}

void test_header_when_it_does_not_come_then_closed_after_1_s(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Proxied proxied{rig};
    serve(rig);
    const auto silent = proxied.come();
    const auto slow = proxied.come();
    say(*slow, "PROXY TCP4");
    rig.step();
    rig.pass(999ms);
    assert_int_equal(rig.count(Counter::tcp_clients), 2);
    rig.pass(1ms);
    assert_true(closed(rig, *silent) && closed(rig, *slow));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 2);
}

// limits 36 and 37: places are those of who is behind the proxy; it has none of its own.
void test_places_then_those_of_the_client(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tcp_clients = 40;
    Proxied proxied{rig};
    serve(rig);
    std::vector<std::unique_ptr<TcpClient>> clients;
    for (int i = 0; i < 30 && rig.count(Counter::tcp_refused_address) == 0; ++i) {
        clients.push_back(proxied.come());
        say(*clients.back(), header_of("127.0.0.7"));
        rig.step();
        rig.step();
    }
    assert_in_range(clients.size(), 17, 29);
    const auto other = proxied.come();
    say(*other, header_of("127.0.0.8"));
    exchange(rig, *other, 1);
    clients.clear();
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 1; }));
}

// E25: who has said nothing has no seat, though its proxy has.
void test_handshake_when_nothing_came_behind_the_header_then_no_seat(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Proxied proxied{rig, true};
    serve(rig);
    const auto client = proxied.come();
    say(*client, header_of("127.0.0.7"));
    say(*client, "\x16");
    assert_true(rig.until([&] { return rig.count(Counter::tls_handshaking) == 1; }));
    const auto silent = proxied.come();
    say(*silent, header_of("127.0.0.7"));
    for (int i = 0; i < 5; ++i) {
        rig.step();
    }
    assert_int_equal(rig.count(Counter::tls_handshaking), 1);
}

// It is nobody's yet, so it makes way first, also where it is places for TLS that lack.
void test_accept_when_tls_places_are_taken_by_the_unannounced_then_one_makes_way(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tls_clients = 3;
    Proxied proxied{rig, true};
    serve(rig);
    std::vector<std::unique_ptr<TcpClient>> silent;
    for (int i = 0; i < 3; ++i) {
        silent.push_back(proxied.come());
    }
    const auto next = proxied.connect();
    assert_true(closed(rig, *silent[0]));
    assert_int_equal(rig.count(Counter::tls_clients), 3);
    assert_int_equal(rig.count(Counter::tcp_refused), 0);
}

// E76: the next worker knows whose it is, and whether that one may ask.
void test_drain_then_the_next_worker_knows_the_client(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Proxied proxied{rig};
    serve(rig);
    const auto client = proxied.come();
    say(*client, header_of("127.0.0.7"));
    exchange(rig, *client, 1);
    const auto fresh = proxied.come();
    say(*fresh, "PROXY TCP4");
    rig.step();
    rig.in_turn([&] { rig.tcp().drain(true); });
    assert_true(rig.until([&] { return rig.tcp().idle(); }));
    std::vector<Fd> taken;
    for (int i = 0; i < 2; ++i) {
        std::array<std::uint8_t, 1024> room{};
        std::size_t size = 0;
        Handed whom;
        taken.push_back(take_over(rig.handover, room, size, &whom));
        assert_true(bool{taken.back()});
        const bool is_fresh = whom.kind == Kind::newcomer;
        assert_int_equal(size, is_fresh ? 10 : 0);
        assert_true(is_fresh || (whom.kind == Kind::announced &&
                                 whom.announced == *Address::parse("127.0.0.7", 1)));
    }
    assert_false(client->is_closed() || fresh->is_closed());
}

void test_handover_when_announced_then_that_client_asks(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Proxied proxied{rig};
    serve(rig);
    const auto announced = [](const char* client) {
        return Handed{.kind = Kind::announced, .announced = *Address::parse(client, 1)};
    };
    const auto client = proxied.come({}, announced("127.0.0.7"));
    exchange(rig, *client, 1);
    const auto stranger = proxied.connect({}, announced("203.0.113.7"));
    assert_true(closed(rig, *stranger));
    assert_int_equal(rig.count(Counter::access_refused), 1);
    const auto unread = proxied.come("PROXY TCP4");
    say(*unread, " 127.0.0.7 127.0.0.2 1 53\r\n");
    exchange(rig, *unread, 2);
}

// E75: only a proxy that says so asks for itself; whose client is unknown is who has brought it.
void test_client_when_unknown_then_the_proxy_has_to_be_let_in(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Proxied proxied{rig};
    const std::array elsewhere{
        dotproxy::AccessRule{.who = dotproxy::AccessRule::Who::prefix,
                             .prefix = *dotproxy::Prefix::parse("192.0.2.0/24")}};
    rig.config.listen.back().allow = dotproxy::Access{elsewhere};
    serve(rig);
    const auto unknown = proxied.connect();
    say(*unknown, "PROXY UNKNOWN\r\n");
    assert_true(closed(rig, *unknown));
    const auto itself = proxied.come();
    say(*itself, std::string_view{"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16});
    exchange(rig, *itself, 1);
    assert_int_equal(rig.count(Counter::access_refused), 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_header_when_in_pieces_then_the_question_behind_it_is_answered, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_header_when_octet_by_octet_then_taken, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_header_when_it_does_not_come_then_closed_after_1_s,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_places_then_those_of_the_client, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_handshake_when_nothing_came_behind_the_header_then_no_seat, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_accept_when_tls_places_are_taken_by_the_unannounced_then_one_makes_way, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_drain_then_the_next_worker_knows_the_client, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_handover_when_announced_then_that_client_asks,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_when_unknown_then_the_proxy_has_to_be_let_in,
                                        make_rig, free_rig),
    };
    return cmocka_run_group_tests_name("front/proxied", tests, make_world, free_world);
}
