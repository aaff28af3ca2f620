// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#pragma once

#include "relay/client.hh"
#include "worker/clients.hh"

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace dotproxy::test {

/// A way to clients that need not be there: it keeps what they would have got.
class Mailbox final : public Front {
  public:
    [[nodiscard]] dns::Channel channel(const Client& /*client*/,
                                       const dns::Asker& /*asker*/) const noexcept override {
        return {.limit = room_.size(), .keepalive = std::nullopt};
    }

    [[nodiscard]] std::optional<Address> asked_address(const Client& /*client*/) noexcept override {
        return asked;
    }

    [[nodiscard]] dns::MutableOctets begin_answer(const Client& /*client*/,
                                                  std::size_t size) noexcept override {
        return std::span{room_}.first(size);
    }

    void end_answer(const Client& /*client*/, std::size_t size) noexcept override {
        answers.emplace_back(room_.begin(), room_.begin() + static_cast<std::ptrdiff_t>(size));
    }

    std::vector<Message> answers;
    std::optional<Address> asked{}; // where its clients send their questions

  private:
    std::array<std::uint8_t, 1232> room_{};
};

} // namespace dotproxy::test
