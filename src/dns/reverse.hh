// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The reverse zones of addresses that mean nothing outside a network (RFC 6303, sections 4.1
// to 4.6; RFC 7793), for this room alone.

#pragma once

#include "dns/wire.hh"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace dotproxy::dns {

/// The labels of an uncompressed name in lower case, counted from its end: 0 is the top-level
/// domain.
class Labels {
  public:
    explicit Labels(Octets name) noexcept;

    /// The root does not count.
    [[nodiscard]] std::size_t count() const noexcept { return count_; }

    /// The offset of a label's length octet.
    [[nodiscard]] std::size_t start(std::size_t from_end) const noexcept {
        return starts_[count_ - 1 - from_end];
    }

    /// What a label holds.
    [[nodiscard]] Octets text(std::size_t from_end) const noexcept {
        return name_.subspan(start(from_end) + 1, name_[start(from_end)]);
    }

    /// Whether a label reads `text`.
    [[nodiscard]] bool is(std::size_t from_end, std::string_view text) const noexcept {
        const Octets label = this->text(from_end);
        return label.size() == text.size() &&
               std::memcmp(label.data(), text.data(), label.size()) == 0;
    }

  private:
    Octets name_;
    std::array<std::uint8_t, max_name_size / 2> starts_; // [0, count_) is meaningful
    std::size_t count_{0};
};

/// Where a name stands in one of these zones.
struct ReverseZone {
    std::size_t apex;    // offset of the zone's own name
    bool holds_loopback; // the name is that of 127.0.0.1 or ::1, or lies on the way to it
    bool is_loopback;    // the name is that of 127.0.0.1 or ::1
};

/// The zone that the name belongs to. It has at least two labels, the last of them "arpa".
[[nodiscard]] std::optional<ReverseZone> find_reverse_zone(const Labels& labels) noexcept;

} // namespace dotproxy::dns
