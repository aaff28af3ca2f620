// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Tickets: a stack of fixed height. Nothing is counted per connection, so reconnecting for ever
// costs no memory (L58).

#include "tls/tickets.hh"

#include <algorithm>
#include <utility>

namespace dotproxy::tls {

void Tickets::put(std::vector<std::uint8_t> session) noexcept {
    if (size_ == capacity) {
        std::rotate(sessions_.begin(), sessions_.begin() + 1, sessions_.end());
        --size_;
    }
    sessions_[size_++] = std::move(session);
}

std::vector<std::uint8_t> Tickets::take() noexcept {
    if (size_ == 0) {
        return {};
    }
    return std::exchange(sessions_[--size_], {});
}

void Tickets::clear() noexcept {
    sessions_ = {};
    size_ = 0;
}

bool lifetime_is_sound(std::span<const std::uint8_t> message) noexcept {
    constexpr std::uint32_t seven_days = 7 * 24 * 3600;
    if (message.size() < sizeof(std::uint32_t)) {
        return false;
    }
    std::uint32_t seconds = 0;
    for (const std::uint8_t octet : message.first(sizeof seconds)) {
        seconds = seconds << 8 | octet;
    }
    return seconds > 0 && seconds <= seven_days;
}

} // namespace dotproxy::tls
