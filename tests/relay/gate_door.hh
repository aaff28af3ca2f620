// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Gates of workers, and who comes to them.

#pragma once

#include "dns/wire.hh"
#include "relay/gate.hh"
#include "shared/counter_region.hh"
#include "unit.hh"

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace dotproxy::test {

using namespace std::chrono_literals;
using Admission = Gate::Admission;

constexpr std::uint16_t type_a = dns::type::a;

inline Address at(const std::string& literal) {
    return Address::parse(literal, 4711).value();
}

/// One worker's gate, and a clock that the test sets. Two may share what all workers do.
struct Shared {
    OnLink on_link;
    LimitsMemory limits;
    CookieSecrets cookie_secrets{CookieSecrets::draw()};
    CounterRegion region{2};
    CounterLease counters{region.lease(2, {})};

    Shared() { on_link.write(std::array{*Prefix::parse("2001:db8:1::/64")}); }
};

inline Config limited() {
    Config config;
    const std::array rule{AccessRule{}}; // "any"
    config.allow = Access{rule};
    config.limits.client_rate = 100;
    config.limits.client_misses = 50;
    config.limits.client_connects = 10;
    return config;
}

struct Door {
    explicit Door(Shared& shared, Config its_config = limited(), unsigned worker = 0)
        : config{std::move(its_config)}, turn{std::make_unique<Turn>(config,
                                                                     shared.counters.slot(worker))},
          gate{*turn, shared.on_link, shared.limits, shared.cookie_secrets} {
        turn->now = TimePoint{1h};
    }

    [[nodiscard]] std::optional<Client> client(const std::string& literal) {
        const auto standing = gate.admit(at(literal), config.allow);
        if (!standing) {
            return std::nullopt;
        }
        return Client{.peer = at(literal), .standing = *standing};
    }

    [[nodiscard]] bool asks(const std::string& literal, std::uint16_t type = type_a) {
        return gate.ask(client(literal).value(), type, false) == Admission::answer;
    }

    [[nodiscard]] bool forwards(const std::string& literal) {
        return gate.forward(client(literal).value());
    }

    [[nodiscard]] bool connects(const std::string& literal) {
        return gate.connect(at(literal), client(literal)->standing);
    }

    [[nodiscard]] std::uint64_t count(Counter counter) const { return turn->counters.get(counter); }

    Config config;
    std::unique_ptr<Turn> turn;
    Gate gate;
};

/// How many of `asked` questions are let in, which come evenly in so long.
template <class Ask>
int passed_of(Door& door, int asked, std::chrono::milliseconds in, Ask ask) {
    int passed = 0;
    const TimePoint begin = door.turn->now;
    for (int i = 0; i < asked; ++i) {
        door.turn->now = begin + in * i / asked;
        passed += ask(i) ? 1 : 0;
    }
    door.turn->now = begin + in;
    return passed;
}

} // namespace dotproxy::test
