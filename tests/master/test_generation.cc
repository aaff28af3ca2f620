// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/generation.hh"

#include "master/child.hh"
#include "tls/pki.hh"
#include "unit.hh"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <system_error>

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::Config;
using dotproxy::ConfigError;
using dotproxy::exit_hopeless;
using dotproxy::Fd;
using dotproxy::Generation;
using dotproxy::ListenConfig;
using dotproxy::Listener;
using dotproxy::Listeners;
using dotproxy::load_trust;
using dotproxy::open_listener;
using dotproxy::Protocol;
using dotproxy::Report;
using dotproxy::TimePoint;
using dotproxy::test::first_failure;
using dotproxy::test::in_child;
using dotproxy::test::read_file;
using dotproxy::tls::test::TemporaryFile;

namespace {

constexpr TimePoint start{24h};

/// A trust store.
struct World {
    TemporaryFile ca{dotproxy::tls::test::issue({.authority = true}).pem()};

    [[nodiscard]] Config config(std::vector<ListenConfig> listen) const {
        Config config;
        config.workers = 2;
        config.listen = std::move(listen);
        config.upstreams.push_back(
            {.name = "dns.example", .addresses = {Address{}}, .pins = {}, .ca_file = ca.path()});
        config.limits = {.queries = 16, .tcp_clients = 8, .queries_per_client = 4};
        return config;
    }
};

int set_up(void** state) {
    *state = std::make_unique<World>().release();
    return 0;
}

int tear_down(void** state) {
    const std::unique_ptr<World> world{static_cast<World*>(*state)};
    return 0;
}

/// From which port on the kernel gives them to whoever asks for any.
unsigned first_ephemeral_port() {
    const std::string range = read_file("/proc/sys/net/ipv4/ip_local_port_range");
    const unsigned long first = std::strtoul(range.c_str(), nullptr, 10);
    return first > 2048 && first < 65536 ? static_cast<unsigned>(first) : 32768;
}

/// 127.0.0.1 and a port that nobody has for either protocol, and another one each time. Whatever
/// else runs on this machine is not given it before the test binds it.
Address free_address() {
    constexpr unsigned first = 1024;
    static const unsigned count = first_ephemeral_port() - first;
    static unsigned next = std::random_device{}() % count;
    for (;;) {
        next = (next + 1) % count;
        const Address address =
            *Address::parse("127.0.0.1", static_cast<std::uint16_t>(first + next));
        try {
            (void)open_listener(Protocol::tcp, address);
            (void)open_listener(Protocol::udp, address);
            return address;
        } catch (const std::system_error&) {
            continue; // somebody has the port
        }
    }
}

std::shared_ptr<const Listener> passed_listener(Protocol protocol, const Address& address) {
    return std::make_shared<const Listener>(open_listener(protocol, address));
}

void test_make_then_a_socket_for_each_protocol_and_slots_for_workers(void** state) {
    const World& world = *static_cast<World*>(*state);
    const Address both = free_address();
    const Address udp_only = free_address();
    Generation generation{
        7, world.config({{.address = both}, {.address = udp_only, .tcp = false}}), {}, {}};
    assert_int_equal(generation.number, 7);
    assert_int_equal(generation.listeners.size(), 3);
    assert_true(generation.listeners[0]->protocol == Protocol::udp);
    assert_true(generation.listeners[0]->address == both);
    assert_true(generation.listeners[1]->protocol == Protocol::tcp);
    assert_true(generation.listeners[1]->address == both);
    assert_true(generation.listeners[2]->protocol == Protocol::udp);
    assert_true(generation.listeners[2]->address == udp_only);
    assert_int_equal(generation.counters.size(), 0); // until the master gives some
    assert_int_equal(generation.workers.size(), 2);
    assert_int_equal(generation.workers[1].index(), 1);
}

// L65: queries that wait in the queue of a socket are not lost while it is kept.
void test_make_when_existing_has_the_socket_then_it_is_the_same_one(void** state) {
    const World& world = *static_cast<World*>(*state);
    const Address kept = free_address();
    const Address fresh = free_address();
    auto old = std::make_unique<Generation>(1, world.config({{.address = kept}}), Listeners{},
                                            Listeners{});
    const Generation next{
        2, world.config({{.address = fresh, .tcp = false}, {.address = kept}}), {}, old->listeners};
    assert_int_equal(next.listeners.size(), 3);
    assert_true(next.listeners[0]->address == fresh);
    assert_ptr_equal(next.listeners[1].get(), old->listeners[0].get());
    assert_ptr_equal(next.listeners[2].get(), old->listeners[1].get());
    const int socket = next.listeners[2]->socket.get();
    old.reset();
    int listening = 0;
    socklen_t size = sizeof listening;
    assert_int_equal(::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size), 0);
    assert_int_equal(listening, 1);
}

void test_make_when_a_socket_is_no_longer_wanted_then_it_is_let_go(void** state) {
    const World& world = *static_cast<World*>(*state);
    const Address gone = free_address();
    auto old = std::make_unique<Generation>(1, world.config({{.address = gone}}), Listeners{},
                                            Listeners{});
    const Generation next{2, world.config({{.address = free_address()}}), {}, old->listeners};
    old.reset();
    (void)open_listener(Protocol::tcp, gone); // throws while anybody has it
    (void)open_listener(Protocol::udp, gone);
}

// C80: the cache goes on while the answers in it are those of the same resolvers.
void test_make_when_the_upstreams_are_others_then_the_cache_is_new(void** state) {
    const World& world = *static_cast<World*>(*state);
    Config config = world.config({});
    config.cache.size = dotproxy::CacheMemory::smallest;
    const Generation old{1, config, {}, {}};
    assert_non_null(old.cache.get());
    config.upstreams[0].addresses.push_back(free_address());
    const Generation same{2, config, {}, {}, old.cache};
    assert_ptr_equal(same.cache.get(), old.cache.get());
    config.upstreams[0].name = "other.example";
    const Generation other{3, config, {}, {}, old.cache};
    assert_ptr_not_equal(other.cache.get(), old.cache.get());
    config.cache.size *= 2;
    const Generation larger{4, config, {}, {}, other.cache};
    assert_ptr_not_equal(larger.cache.get(), other.cache.get());
    config.cache.size = 0;
    const Generation none{5, config, {}, {}, larger.cache};
    assert_null(none.cache.get());
}

void test_make_when_sockets_were_passed_then_served_once_whatever_is_configured(void** state) {
    const World& world = *static_cast<World*>(*state);
    const Address configured = free_address();
    const Address elsewhere = free_address();
    const Listeners passed{passed_listener(Protocol::udp, configured),
                           passed_listener(Protocol::tcp, elsewhere)};
    const Generation generation{1, world.config({{.address = configured}}), passed, {}};
    assert_int_equal(generation.listeners.size(), 3);
    assert_ptr_equal(generation.listeners[0].get(), passed[0].get());
    assert_ptr_equal(generation.listeners[1].get(), passed[1].get());
    assert_true(generation.listeners[2]->protocol == Protocol::tcp);
    assert_true(generation.listeners[2]->address == configured);
}

void test_make_when_a_port_is_taken_then_refused_by_name(void** state) {
    const World& world = *static_cast<World*>(*state);
    const Address taken = free_address();
    const Listener other = open_listener(Protocol::udp, taken);
    std::string why;
    try {
        const Generation generation{1, world.config({{.address = taken}}), {}, {}};
    } catch (const std::runtime_error& problem) {
        why = problem.what();
    }
    assert_non_null(std::strstr(why.c_str(), ("udp " + taken.text()).c_str()));
    assert_non_null(std::strstr(why.c_str(), "Address already in use"));
    assert_non_null(std::strstr(why.c_str(), ("dotproxy itself has " + taken.text()).c_str()));
}

void test_load_trust_when_no_certificate_then_refused_by_key_and_file(void** state) {
    Config config = static_cast<World*>(*state)->config({});
    config.upstreams[0].ca_place = "a.conf:7: tls.ca_file";
    const TemporaryFile empty{"nothing to trust\n"};
    for (const std::string& path : {std::string{"/nonexistent/ca.pem"}, empty.path()}) {
        config.upstreams[0].ca_file = path;
        std::string why;
        try {
            (void)load_trust(config);
        } catch (const ConfigError& problem) {
            why = problem.what();
        }
        assert_int_equal(why.find("a.conf:7: tls.ca_file: " + path), 0);
    }
}

// A trust store is some MiB where it is the machine's: upstreams that share a file share it.
void test_load_trust_then_one_for_each_file(void** state) {
    Config config = static_cast<World*>(*state)->config({});
    const TemporaryFile other{
        dotproxy::tls::test::issue({.common_name = "other", .authority = true}).pem()};
    config.upstreams.push_back(config.upstreams[0]);
    config.upstreams.push_back(config.upstreams[0]);
    config.upstreams[1].ca_file = other.path();
    const auto contexts = load_trust(config);
    assert_int_equal(contexts.size(), 3);
    assert_ptr_equal(contexts[0].get(), contexts[2].get());
    assert_ptr_not_equal(contexts[0].get(), contexts[1].get());
}

void test_states_then_those_of_all_workers(void** state) {
    const World& world = *static_cast<World*>(*state);
    Generation generation{1, world.config({}), {}, {}};
    assert_false(generation.any_alive());
    assert_false(generation.all_ready());
    assert_false(generation.responds());
    generation.workers[0].born(1001, Fd{}, start);
    generation.workers[1].born(1002, Fd{}, start);
    assert_true(generation.any_alive());
    generation.workers[0].heard(Report::ready);
    assert_false(generation.all_ready());
    generation.workers[1].heard(Report::ready);
    assert_true(generation.all_ready());
    assert_true(generation.responds());
    assert_ptr_equal(generation.find(1002), &generation.workers[1]);
    assert_null(generation.find(1003));
    generation.workers[0].died(exit_hopeless << 8, start);
    assert_false(generation.all_ready());
    assert_false(generation.all_hopeless());
    assert_true(generation.responds()); // one is enough
    generation.workers[1].died(exit_hopeless << 8, start);
    assert_true(generation.all_hopeless());
    assert_false(generation.any_alive());
    assert_false(generation.responds());
    assert_null(generation.find(1002));
}

// A slot without a process has the number 0, which no process has.
void test_find_when_there_is_no_process_then_none(void** state) {
    const World& world = *static_cast<World*>(*state);
    Generation generation{1, world.config({}), {}, {}};
    assert_null(generation.find(1001));
}

// L47: fewer clients are served where the descriptors would not do.
void test_make_when_descriptors_are_few_then_clients_are_fewer(void** state) {
    const World& world = *static_cast<World*>(*state);
    assert_int_equal(::chmod(world.ca.path().c_str(), 0644), 0); // the child is not its owner
    assert_int_equal(
        in_child([&world] {
            const rlimit limit{.rlim_cur = 200, .rlim_max = 200};
            if (::setrlimit(RLIMIT_NOFILE, &limit) != 0 ||
                (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0)) {
                return 100;
            }
            Config config = world.config({});
            const bool enough = Generation{1, config, {}, {}}.config.limits.tcp_clients == 8;
            config.limits.tcp_clients = 10000;
            const auto served = Generation{2, config, {}, {}}.config.limits.tcp_clients;
            return first_failure({enough, served < 200, served >= 100});
        }),
        0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_make_then_a_socket_for_each_protocol_and_slots_for_workers),
        cmocka_unit_test(test_make_when_existing_has_the_socket_then_it_is_the_same_one),
        cmocka_unit_test(test_make_when_a_socket_is_no_longer_wanted_then_it_is_let_go),
        cmocka_unit_test(test_make_when_the_upstreams_are_others_then_the_cache_is_new),
        cmocka_unit_test(
            test_make_when_sockets_were_passed_then_served_once_whatever_is_configured),
        cmocka_unit_test(test_make_when_a_port_is_taken_then_refused_by_name),
        cmocka_unit_test(test_load_trust_when_no_certificate_then_refused_by_key_and_file),
        cmocka_unit_test(test_load_trust_then_one_for_each_file),
        cmocka_unit_test(test_states_then_those_of_all_workers),
        cmocka_unit_test(test_find_when_there_is_no_process_then_none),
        cmocka_unit_test(test_make_when_descriptors_are_few_then_clients_are_fewer),
    };
    return cmocka_run_group_tests_name("master/generation", tests, set_up, tear_down);
}
