// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Standing: what limits have to know of who asks. The Gate says it once, of an address; it goes
// with every question from there.

#pragma once

#include <cstdint>

namespace dotproxy {

struct Standing {
    static constexpr std::uint8_t unlimited = 255;

    std::uint8_t network{unlimited}; // whose rates count, as the Gate numbers them
    bool near{true};                 // an address that is "local" counts for itself alone
};

} // namespace dotproxy
