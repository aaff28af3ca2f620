// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Identity: whom a peer must prove to be. It cannot be empty, so there is no way to ask for a
// connection that is not verified (C61, C62).

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dotproxy::tls {

/// SHA-256 of a SubjectPublicKeyInfo in DER (RFC 7858, section 4.2).
using SpkiPin = std::array<std::uint8_t, 32>;

/// A name, pins, or both; where both are given, both must hold (C66).
class Identity {
  public:
    /// `name`: a DNS name (case and a trailing dot do not matter) or an IP literal. nullopt when
    /// there is neither a name nor a pin.
    [[nodiscard]] static std::optional<Identity> make(std::string name, std::vector<SpkiPin> pins);

    /// Lower case, without trailing dot; empty where only pins identify the peer.
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    [[nodiscard]] bool is_ip() const noexcept { return !ip_.empty(); }

    /// The octets of an IP literal in network order: 4 or 16; empty for a DNS name.
    [[nodiscard]] const std::vector<std::uint8_t>& ip() const noexcept { return ip_; }

    [[nodiscard]] const std::vector<SpkiPin>& pins() const noexcept { return pins_; }

  private:
    Identity() = default;

    std::string name_;
    std::vector<std::uint8_t> ip_;
    std::vector<SpkiPin> pins_;
};

} // namespace dotproxy::tls
