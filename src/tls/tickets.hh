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

} // namespace dotproxy::tls
