// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Names: what the load generators ask.

#pragma once

#include "dns/wire.hh"

#include <cstdint>
#include <string>
#include <vector>

namespace dotproxy::bench {

/// Makes queries for A records of "qNNNNNNNN.TAG.bench.example.com", without EDNS.
class Names {
  public:
    /// `tag`: one label of at most 63 octets. `distinct`: how many names there are, asked in turn;
    /// 0: no name ever comes twice.
    Names(const std::string& tag, std::uint32_t distinct);

    /// The next query, under the ID given. Valid until the next call.
    [[nodiscard]] dns::Octets next(std::uint16_t id) noexcept;

    /// The number of what next() gave last.
    [[nodiscard]] std::uint32_t last() const noexcept { return last_; }

    /// Whether a message asks, or answers, the query of that number.
    [[nodiscard]] bool is_about(dns::Octets message, std::uint32_t number) noexcept;

  private:
    void write(std::uint32_t number) noexcept;

    std::vector<std::uint8_t> query_;
    std::uint32_t distinct_;
    std::uint32_t next_{0};
    std::uint32_t last_{0};
};

} // namespace dotproxy::bench
