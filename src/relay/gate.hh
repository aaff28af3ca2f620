// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Gate: decides who may ask, in the one place that all questions and connections pass, whatever
// transport they come by (limits 39, 42).

#pragma once

#include "base/address.hh"
#include "base/clock.hh"
#include "config/access.hh"
#include "shared/limits_memory.hh"
#include "shared/meter.hh"
#include "shared/on_link.hh"

#include <optional>

namespace dotproxy {

class Gate {
  public:
    /// Both outlive it. Throws std::bad_alloc.
    Gate(const OnLink& on_link, const LimitsMemory& limits) : on_link_{on_link}, meter_{limits} {}

    /// Whether `peer` may ask where `access` says who may. Nobody may whose address is not known.
    [[nodiscard]] bool admits(const std::optional<Address>& peer, const Access& access) noexcept {
        return peer && access.allows(AddressBits::of(*peer), on_link_.prefixes());
    }

    /// Whether `peer`, who may not ask, is to hear it: so that a mistake is found out, and nobody
    /// is sent much by using another's address, its network hears it once a second.
    [[nodiscard]] bool tells(const Address& peer, TimePoint now) noexcept;

  private:
    OnLink::View on_link_;
    Meter meter_;
};

} // namespace dotproxy
