// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What is warned of before it happens. What files an account can read, tests/e2e/test_config_errors
// shows: it takes root.

#include "master/preflight.hh"

#include "config/scratch.hh"
#include "unit.hh"

#include <string>
#include <unistd.h>
#include <vector>

using dotproxy::Address;
using dotproxy::Config;
using dotproxy::Surroundings;
using dotproxy::warnings;

namespace {

/// A machine with systemd where root asks; its units are in a directory of the test.
struct Machine {
    Scratch units;
    Surroundings surroundings{.root = true, .systemd = true, .binds_low_ports = true};

    Machine() {
        assert_true(units.make());
        surroundings.units = units.path("");
    }

    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    ~Machine() { units.remove(); }
};

Config config_with(const std::string& ca_file, std::uint16_t port) {
    Config config;
    config.places.listen = "a.conf:2: listen";
    config.listen.push_back({.address = Address::parse("127.0.0.1", port).value()});
    config.upstreams.push_back({.name = "a.example",
                                .addresses = {},
                                .pins = {},
                                .ca_file = ca_file,
                                .ca_place = "a.conf:7: tls.ca_file"});
    return config;
}

std::vector<std::string> of_port(const Surroundings& surroundings, std::uint16_t port) {
    return warnings(config_with("/etc/ca.pem", port), surroundings);
}

void test_warnings_when_the_service_sees_all_then_none(void** /*state*/) {
    const Machine machine;
    for (const char* const path : {"/etc/ssl/ca.pem", "/homestead/ca.pem", "/srv/tmp/ca.pem"}) {
        assert_true(warnings(config_with(path, 5300), machine.surroundings).empty());
    }
}

void test_warnings_when_the_unit_hides_a_file_then_named_once(void** /*state*/) {
    const Machine machine;
    const std::pair<const char*, const char*> cases[] = {{"/home/a/ca.pem", "ProtectHome"},
                                                         {"/root/ca.pem", "ProtectHome"},
                                                         {"/tmp/ca.pem", "PrivateTmp"},
                                                         {"/var/tmp/ca.pem", "PrivateTmp"}};
    for (const auto& [path, setting] : cases) {
        Config config = config_with(path, 5300);
        config.upstreams.push_back(config.upstreams[0]);
        const auto lines = warnings(config, machine.surroundings);
        assert_int_equal(lines.size(), 1);
        assert_string_equal(lines[0].c_str(),
                            (std::string{"a.conf:7: tls.ca_file: the service does not see \""} +
                             path + "\" (" + setting +
                             " in its unit); give a file elsewhere, such as in /etc/ssl/certs")
                                .c_str());
    }
}

void test_warnings_when_a_link_leads_into_what_is_hidden_then_named(void** /*state*/) {
    const Machine machine;
    // Not among the tests' other files, which are in a hidden place themselves.
    const auto link = std::filesystem::current_path() / ("preflight-" + std::to_string(::getpid()));
    std::filesystem::create_directory_symlink("/root", link);
    const auto lines = warnings(config_with(link / "ca.pem", 5300), machine.surroundings);
    std::filesystem::remove(link);
    assert_int_equal(lines.size(), 1);
}

void test_warnings_when_port_is_low_then_only_where_there_is_no_way(void** /*state*/) {
    Machine machine;
    const auto lines = of_port(machine.surroundings, 53);
    assert_int_equal(lines.size(), 1);
    assert_string_equal(lines[0].c_str(),
                        "a.conf:2: listen: port 53 takes a privilege that the service does not "
                        "have; enable dotproxy.socket, which passes port 53 of 127.0.0.1 and "
                        "::1, or give the service CAP_NET_BIND_SERVICE, or a port from 1024");
    assert_true(of_port(machine.surroundings, 1024).empty());

    Surroundings lowered = machine.surroundings;
    lowered.first_free_port = 53;
    assert_true(of_port(lowered, 53).empty());

    Surroundings started_by_root = machine.surroundings;
    started_by_root.systemd = false;
    assert_true(of_port(started_by_root, 53).empty());
    started_by_root.binds_low_ports = false;
    assert_int_equal(of_port(started_by_root, 53).size(), 1);

    Surroundings somebody{.units = machine.units.path("")};
    assert_int_equal(of_port(somebody, 53).size(), 1);
    somebody.binds_low_ports = true;
    assert_true(of_port(somebody, 53).empty());
}

// An init script's service sees all that root sees.
void test_warnings_when_there_is_no_systemd_then_nothing_is_hidden(void** /*state*/) {
    Machine machine;
    machine.surroundings.systemd = false;
    assert_true(warnings(config_with("/home/me/ca.pem", 5300), machine.surroundings).empty());
}

void test_warnings_when_the_first_free_port_is_not_known_then_none(void** /*state*/) {
    Machine machine;
    machine.surroundings.first_free_port = 0;
    assert_true(of_port(machine.surroundings, 53).empty());
}

void test_warnings_when_the_administrator_gave_a_way_then_none(void** /*state*/) {
    const Machine with_socket;
    with_socket.units.write("sockets.target.wants/dotproxy.socket", "");
    assert_true(of_port(with_socket.surroundings, 53).empty());
    assert_int_equal(of_port(with_socket.surroundings, 54).size(), 1);
    Config of_network = config_with("/etc/ca.pem", 53);
    of_network.listen[0].address = Address::parse("192.0.2.1", 53).value();
    assert_int_equal(warnings(of_network, with_socket.surroundings).size(), 1);
    with_socket.units.write("dotproxy.socket.d/network.conf",
                            "[Socket]\nListenStream=192.0.2.1:53\n");
    assert_true(warnings(of_network, with_socket.surroundings).empty());
    of_network.listen[0].address = Address::parse("192.0.2.1", 54).value();
    assert_int_equal(warnings(of_network, with_socket.surroundings).size(), 1);
    const Machine with_drop_in;
    with_drop_in.units.write("dotproxy.service.d/other.conf", "[Service]\nNice=1\n");
    assert_int_equal(of_port(with_drop_in.surroundings, 53).size(), 1);
    with_drop_in.units.write("dotproxy.service.d/port.conf",
                             "[Service]\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n");
    assert_true(of_port(with_drop_in.surroundings, 53).empty());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_warnings_when_the_service_sees_all_then_none),
        cmocka_unit_test(test_warnings_when_the_unit_hides_a_file_then_named_once),
        cmocka_unit_test(test_warnings_when_a_link_leads_into_what_is_hidden_then_named),
        cmocka_unit_test(test_warnings_when_port_is_low_then_only_where_there_is_no_way),
        cmocka_unit_test(test_warnings_when_there_is_no_systemd_then_nothing_is_hidden),
        cmocka_unit_test(test_warnings_when_the_first_free_port_is_not_known_then_none),
        cmocka_unit_test(test_warnings_when_the_administrator_gave_a_way_then_none),
    };
    return cmocka_run_group_tests_name("master/preflight", tests, nullptr, nullptr);
}
