// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/gate.hh"

#include "unit.hh"

#include <array>
#include <chrono>
#include <optional>

using dotproxy::Access;
using dotproxy::Address;
using dotproxy::Gate;
using dotproxy::LimitsMemory;
using dotproxy::OnLink;
using dotproxy::Prefix;
using dotproxy::TimePoint;
using namespace std::chrono_literals;

namespace {

Address client(const char* literal) {
    return Address::parse(literal, 4711).value();
}

// limits 41: what the master writes counts for the next question.
void test_admits_when_networks_come_and_go_then_at_once(void** /*state*/) {
    OnLink on_link;
    const LimitsMemory limits;
    Gate gate{on_link, limits};
    const Access local;
    assert_true(gate.admits(client("192.168.0.1"), local));
    assert_false(gate.admits(client("198.51.100.7"), local));
    on_link.write(std::array{Prefix::parse("198.51.100.0/24").value()});
    assert_true(gate.admits(client("198.51.100.7"), local));
    on_link.write({});
    assert_false(gate.admits(client("198.51.100.7"), local));
    assert_false(gate.admits(std::nullopt, local));
}

// limits 42: once a second for each /24 and /48, and all workers together.
void test_tells_when_asked_again_then_once_a_second(void** /*state*/) {
    OnLink on_link;
    const LimitsMemory limits;
    std::array gates{Gate{on_link, limits}, Gate{on_link, limits}};
    TimePoint now{1h};
    int told = 0;
    for (std::size_t i = 0; i < 1000; ++i, now += 10ms) {
        told +=
            gates.at(i % 2).tells(client(i % 3 == 0 ? "203.0.113.7" : "203.0.113.8"), now) ? 1 : 0;
    }
    assert_in_range(told, 9, 10);
    assert_true(gates[0].tells(client("203.0.114.7"), now));
    assert_true(gates[0].tells(client("2001:db8:1:2::7"), now));
    assert_false(gates[1].tells(client("2001:db8:1:3::7"), now));
    assert_true(gates[1].tells(client("2001:db8:2:3::7"), now));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_admits_when_networks_come_and_go_then_at_once),
        cmocka_unit_test(test_tells_when_asked_again_then_once_a_second),
    };
    return cmocka_run_group_tests_name("relay/gate", tests, nullptr, nullptr);
}
