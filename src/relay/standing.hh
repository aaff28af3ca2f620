// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Standing: what limits have to know of who asks. The Gate says it once, of an address; it goes
// with every question from there.

#pragma once

#include <cstdint>

namespace dotproxy {

// Beyond "local", addresses cost little: who has one has all of its network (limits 9). So long are
// the prefixes that count as one source, and those of the network around it.
constexpr unsigned alone_v4 = 32;
constexpr unsigned alone_v6 = 64;
constexpr unsigned around_v4 = 24;
constexpr unsigned around_v6 = 48;

struct Standing {
    static constexpr std::uint8_t unlimited = 255;

    std::uint8_t network{unlimited}; // whose rates count, as the Gate numbers them
    bool near{true};                 // an address that is "local" counts for itself alone
};

} // namespace dotproxy
