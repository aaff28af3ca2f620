// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Who may come over TCP: how many from one address, and what happens when descriptors run out.

#include "front/tcp_intake.hh"

#include "unit.hh"
#include "worker/rig.hh"
#include "worker/rig_names.hh"

#include <fcntl.h>
#include <memory>
#include <sys/resource.h>
#include <vector>

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::Fd;
using dotproxy::hand_over;
using dotproxy::Listener;
using dotproxy::open_listener;
using dotproxy::Protocol;

namespace {

constexpr std::size_t half = 32; // of the clients that the rig allows
constexpr std::size_t least = 16;

using Clients = std::vector<std::unique_ptr<TcpClient>>;

/// A worker that has a connection to its upstream, and so steps back for nobody.
void open_warm(Rig& rig) {
    rig.add_upstream();
    rig.open();
    assert_false(rig.resolve("warm.example").empty());
}

/// So many more connections that the worker has seen, from one address.
void connect(Rig& rig, Clients& clients, std::size_t count) {
    const std::uint64_t before = rig.count(Counter::tcp_accepted);
    for (std::size_t i = 0; i < count; ++i) {
        clients.push_back(std::make_unique<TcpClient>(rig.tcp_address()));
    }
    assert_true(rig.until([&] { return rig.count(Counter::tcp_accepted) == before + count; }));
}

bool closed(Rig& rig, TcpClient& client) {
    return rig.until([&] { return client.is_closed(); });
}

void exchange(Rig& rig, TcpClient& client) {
    client.send(query("www.example", 7));
    assert_true(rig.until([&] { return !client.receive().empty(); }));
}

/// A connection as a worker of the generation before has it, and its client.
struct Older {
    explicit Older(Rig& rig, bool keeps_open = false)
        : listener{open_listener(Protocol::tcp, *Address::parse("127.0.0.1", 0))} {
        Address address;
        socklen_t size = Address::capacity;
        ::getsockname(listener.socket.get(), address.data(), &size);
        client = std::make_unique<TcpClient>(address);
        Fd accepted{::accept4(listener.socket.get(), nullptr, nullptr, SOCK_NONBLOCK)};
        assert_true(bool{accepted});
        assert_true(hand_over(rig.handover, accepted.get(), {}));
        if (keeps_open) {
            kept = std::move(accepted);
        }
    }

    Listener listener;
    Fd kept;
    std::unique_ptr<TcpClient> client;
};

// C15: one address cannot have all places; those it has are served on.
void test_accept_when_one_address_has_half_then_no_more_from_it(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.open();
    Clients clients;
    connect(rig, clients, half + 8);
    for (std::size_t i = half; i < half + 8; ++i) {
        assert_true(closed(rig, *clients[i]));
    }
    assert_int_equal(rig.count(Counter::tcp_refused_address), 8);
    assert_int_equal(rig.count(Counter::tcp_refused), 0);
    assert_int_equal(rig.count(Counter::tcp_clients), half);
    for (std::size_t i = 0; i < half; ++i) {
        exchange(rig, *clients[i]);
    }
}

// L48: a place is free again when its connection has ended, in whatever way.
void test_accept_when_the_address_has_left_then_it_may_come_again(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.open();
    for (int round = 0; round < 5; ++round) {
        Clients clients;
        connect(rig, clients, half);
        exchange(rig, *clients[0]);
        for (std::size_t i = 0; i < half; ++i) {
            i % 2 == 0 ? clients[i]->reset() : clients[i]->close();
        }
        assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 0; }));
    }
    assert_int_equal(rig.count(Counter::tcp_refused_address), 0);
}

// While others hold half of the places, an address gets its part of the other half here.
void test_accept_when_others_have_half_then_its_part_of_this_worker(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.open();
    rig.counters.slot(1).set(Counter::tcp_clients, half);
    Clients clients;
    connect(rig, clients, half / 2 + 4);
    assert_int_equal(rig.count(Counter::tcp_clients), half / 2);
    assert_int_equal(rig.count(Counter::tcp_refused_address), 4);
}

// A household behind one address: a low limit is not made lower for it.
void test_accept_when_the_limit_is_low_then_16_from_one_address_all_the_same(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.tcp_clients = least + 2;
    rig.add_upstream();
    rig.open();
    Clients clients;
    connect(rig, clients, least + 1);
    assert_int_equal(rig.count(Counter::tcp_clients), least);
    assert_int_equal(rig.count(Counter::tcp_refused_address), 1);
}

// C15, L54: a connection that is handed over counts as one that is accepted.
void test_handover_when_the_address_has_half_then_refused(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.open();
    const Older first{rig};
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 1; }));
    exchange(rig, *first.client);
    Clients clients;
    connect(rig, clients, half);
    assert_int_equal(rig.count(Counter::tcp_refused_address), 1);
    const Older second{rig};
    assert_true(closed(rig, *second.client));
    assert_int_equal(rig.count(Counter::tcp_refused_address), 2);
}

/// No descriptor is left to this process while it lives.
class NoDescriptors {
  public:
    NoDescriptors() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const Fd next{::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)};
        const rlimit none{.rlim_cur = static_cast<rlim_t>(next.get()),
                          .rlim_max = before_.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &none);
    }

    NoDescriptors(const NoDescriptors&) = delete;
    NoDescriptors& operator=(const NoDescriptors&) = delete;

    ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

  private:
    rlimit before_{};
};

/// Rests while there are no descriptors, and lets the client in when there are.
void expect_waited_for(Rig& rig, TcpClient& client, std::unique_ptr<NoDescriptors> none) {
    assert_true(rig.until([&] { return rig.count(Counter::accept_paused) == 1; }));
    for (int i = 0; i < 10; ++i) {
        rig.step();
    }
    assert_int_equal(rig.count(Counter::accept_paused), 1);
    for (int i = 0; i < 20; ++i) { // wakes for another try every 50 ms
        rig.pass(50ms);
        rig.step();
    }
    assert_in_range(rig.count(Counter::accept_paused), 10, 25);
    assert_int_equal(rig.count(Counter::tcp_clients), 0);
    none.reset();
    rig.pass(50ms);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 1; }));
    exchange(rig, client);
}

// L47
void test_accept_when_out_of_descriptors_then_later(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    open_warm(rig);
    TcpClient client{rig.tcp_address()};
    expect_waited_for(rig, client, std::make_unique<NoDescriptors>());
}

// L47, L65: a reload into a worker that is out of descriptors loses no client.
void test_handover_when_out_of_descriptors_then_later(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    open_warm(rig);
    const Older older{rig};
    expect_waited_for(rig, *older.client, std::make_unique<NoDescriptors>());
    assert_int_equal(rig.count(Counter::tcp_refused), 0);
}

// What is no connection is counted and does not keep the next one from coming.
void test_handover_when_one_is_lost_on_its_way_then_the_next_is_taken(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.open();
    assert_int_equal(::send(rig.handover.in.get(), "nothing", 7, 0), 7);
    const Older older{rig};
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 1; }));
    assert_int_equal(rig.count(Counter::tcp_refused), 1);
    exchange(rig, *older.client);
}

/// Makes the worker pause since it cannot make descriptors, with a client that waits meanwhile.
void pause(Rig& rig, TcpClient& waiting) {
    const NoDescriptors none;
    waiting.send(query("www.example", 7));
    assert_true(rig.until([&] { return rig.count(Counter::accept_paused) > 0; }));
}

// L65: it was woken for who waits, and no other worker was, so that it takes him before it leaves.
void test_close_when_paused_then_who_waits_is_taken_all_the_same(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    open_warm(rig);
    TcpClient client{rig.tcp_address()};
    pause(rig, client);
    rig.in_turn([&] { rig.tcp().drain(true); });
    assert_int_equal(rig.count(Counter::tcp_accepted), 1);
    assert_true(rig.until([&] { return !client.receive().empty(); }));
}

void test_close_when_paused_then_who_was_handed_over_is_taken_all_the_same(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    open_warm(rig);
    TcpClient client{rig.tcp_address()};
    pause(rig, client);
    const Older older{rig};
    rig.in_turn([&] { rig.tcp().drain(false); });
    assert_true(closed(rig, *older.client)); // it was taken, and leaves with this worker
}

// The old worker still has the connection open when this one closes its copy: closing alone would
// not take it out of the loop, and what is reported of it would meet whoever has its place then.
void test_handover_when_the_old_worker_keeps_it_open_then_others_are_left_alone(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.open();
    Older older{rig, true};
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 1; }));
    exchange(rig, *older.client);
    older.client->reset();
    assert_true(rig.until([&] { return rig.count(Counter::tcp_clients) == 0; }));
    Clients others;
    connect(rig, others, 3);
    for (const auto& other : others) {
        exchange(rig, *other);
        assert_false(other->is_closed());
    }
    assert_int_equal(rig.count(Counter::tcp_clients), 3);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_accept_when_one_address_has_half_then_no_more_from_it,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_accept_when_the_address_has_left_then_it_may_come_again, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_accept_when_others_have_half_then_its_part_of_this_worker, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_accept_when_the_limit_is_low_then_16_from_one_address_all_the_same, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(test_handover_when_the_address_has_half_then_refused,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_accept_when_out_of_descriptors_then_later, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_handover_when_out_of_descriptors_then_later, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(
            test_handover_when_one_is_lost_on_its_way_then_the_next_is_taken, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_close_when_paused_then_who_waits_is_taken_all_the_same,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_close_when_paused_then_who_was_handed_over_is_taken_all_the_same, make_rig,
            free_rig),
        cmocka_unit_test_setup_teardown(
            test_handover_when_the_old_worker_keeps_it_open_then_others_are_left_alone, make_rig,
            free_rig),
    };
    return cmocka_run_group_tests_name("front/tcp_intake", tests, make_world, free_world);
}
