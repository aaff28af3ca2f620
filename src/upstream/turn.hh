// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Turn: what everything in a worker shares. One turn of the loop is: wait, clock, dispatch, expire,
// flush, bury; nothing calls back into its caller, outputs are queued and leave in the flush.

#pragma once

#include "base/clock.hh"
#include "base/loop.hh"
#include "base/undumped.hh"
#include "config/config.hh"
#include "shared/counters.hh"

#include <array>
#include <cstdint>

namespace dotproxy {

struct Turn {
    Turn(const Config& its_config, Counters& its_counters)
        : config{its_config}, counters{its_counters} {}

    const Config& config;
    Counters& counters;
    Loop loop;
    TimePoint now{Clock::now()}; // read once a turn
    // For octets that are used up before the handler that read them returns.
    Undumped<std::array<std::uint8_t, 131072>> scratch; // as read from a socket
    Undumped<std::array<std::uint8_t, 16384>> plain;    // one TLS record, decrypted
};

/// How long the rest of a worker's patience is, by what it waits for.
struct Patience {
    /// A client gets its SERVFAIL a little before a stub with the same time-out gives up.
    [[nodiscard]] static Clock::duration client(const Config& config) noexcept {
        return config.timeouts.query * 9 / 10;
    }

    /// After this long without a sign of life an upstream connection is no longer waited for: there
    /// is time left to ask elsewhere, twice (L31, L32).
    [[nodiscard]] static Clock::duration upstream(const Config& config) noexcept {
        return config.timeouts.query / 5;
    }
};

} // namespace dotproxy
