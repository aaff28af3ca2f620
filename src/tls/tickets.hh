// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Tickets: what is needed to resume sessions with one upstream endpoint. Each ticket is used once
// (RFC 8446, appendix C.4); a few are kept, the oldest goes first (L58). One store per address,
// port and identity, so a ticket never leads to another peer (L38).

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dotproxy::tls {

class Tickets {
  public:
    static constexpr std::size_t capacity = 4;

    void put(std::vector<std::uint8_t> session) noexcept;
    /// The newest ticket, which leaves the store; empty when there is none.
    [[nodiscard]] std::vector<std::uint8_t> take() noexcept;
    void clear() noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

  private:
    std::array<std::vector<std::uint8_t>, capacity> sessions_;
    std::size_t size_{0}; // [0, size_): oldest first
};

/// Whether the body of a NewSessionTicket message promises a lifetime of one second to seven days
/// (RFC 8446, section 4.6.1; C71). GnuTLS drops a ticket that is past its lifetime, but believes
/// any lifetime.
[[nodiscard]] bool lifetime_is_sound(std::span<const std::uint8_t> message) noexcept;

} // namespace dotproxy::tls
