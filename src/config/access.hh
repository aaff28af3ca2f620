// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Access: who may ask, as `allow` says it (limits 40 and 46).

#pragma once

#include "base/prefix.hh"

#include <cstdint>
#include <optional>
#include <span>

namespace dotproxy {

/// One of the things that `allow` says.
struct AccessRule {
    enum class Who : std::uint8_t {
        any,
        local,    // loopback, private, link-local and unique local addresses, and what is on-link
        loopback, // this host
        prefix,
    };

    Who who{Who::any};
    Prefix prefix{};
    bool allowed{true};

    friend bool operator==(const AccessRule&, const AccessRule&) noexcept = default;
};

class Access {
  public:
    /// allow = ( "local" )
    Access();
    /// In whatever order; none of them is given twice.
    explicit Access(std::span<const AccessRule> rules);

    /// What is said of the longest prefix that the address is in; who is in none may not ask.
    /// `on_link` are the prefixes of this machine's interfaces, which the kernel knows and no
    /// configuration: where one of these has the same length, what is said of that counts.
    [[nodiscard]] bool allows(const AddressBits& address,
                              std::span<const Prefix> on_link) const noexcept;

    /// Whether all of an Internet protocol may ask.
    [[nodiscard]] bool allows_any() const noexcept;

  private:
    void say(const AccessRule& rule);

    PrefixMap<bool> prefixes_;
    std::optional<bool> on_link_; // what is said of those
};

/// Whether the Internet may know the address: it is neither local nor one that no host has
/// (RFC 6890).
[[nodiscard]] bool is_public(const AddressBits& address) noexcept;

/// Whether the address is in a prefix that AccessRule::Who::local names, whatever is on-link.
[[nodiscard]] bool is_always_local(const AddressBits& address) noexcept;

} // namespace dotproxy
