// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/gate.hh"

#include <array>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

/// What is counted apart.
enum class Kind : std::uint8_t { refusal };

} // namespace

bool Gate::tells(const Address& peer, TimePoint now) noexcept {
    constexpr unsigned v4 = 24;
    constexpr unsigned v6 = 48;
    const std::array budget{Budget{.prefix = Prefix::of(AddressBits::of(peer), v4, v6),
                                   .kind = static_cast<std::uint8_t>(Kind::refusal),
                                   .rate = Rate::of(1, 1s)}};
    return meter_.charge(budget, now).passed();
}

} // namespace dotproxy
