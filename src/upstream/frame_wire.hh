// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// FrameWire: a QueryWire where messages are framed by their length, as in DNS over TLS (RFC 7858,
// section 3.3). Message IDs tell which inquiry an answer is for.

#pragma once

#include "base/buffer.hh"
#include "upstream/query_wire.hh"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dotproxy {

class FrameWire final : public QueryWire {
  public:
    using QueryWire::QueryWire;

    /// Whether there is an ID for another query. One is kept for a probe.
    [[nodiscard]] bool has_room() const noexcept override {
        return slots_.taken() + (is_probed() ? 0 : 1) < Slots::capacity;
    }

    [[nodiscard]] std::uint16_t send(Inquiry& inquiry) noexcept override;
    void send_probe() noexcept override;

    void ask_for_life() noexcept override { send_probe(); }

    [[nodiscard]] bool can_probe() const noexcept override {
        return slots_.taken() < Slots::capacity;
    }

    [[nodiscard]] std::size_t waiting() const noexcept override { return queued_.size(); }

    [[nodiscard]] dns::Octets queued() noexcept override { return queued_.view(); }

    std::size_t on_sent() noexcept override;

    /// The stream has shifted, or makes no sense (L83).
    [[nodiscard]] bool keeps_apart() const noexcept override { return false; }

    void feed(dns::Octets plain) noexcept override;
    [[nodiscard]] Arrival next() noexcept override;
    void keep_rest(TimePoint now) noexcept override;

    [[nodiscard]] TimePoint partial_since() const noexcept override {
        return partial_.empty() ? TimePoint::max() : partial_since_;
    }

    /// Its ID stays taken until the answer comes (C98).
    void forget(std::uint16_t slot) noexcept override { slots_.forget(slot); }

  private:
    void queue(dns::Octets message) noexcept;
    [[nodiscard]] Arrival arrival_of(dns::Octets message) noexcept;

    Buffer queued_;                     // frames to be encrypted
    std::vector<std::uint16_t> unsent_; // slots of inquiries whose frames are in queued_
    Buffer partial_;                    // the beginning of a frame whose rest has not come
    TimePoint partial_since_{};
    dns::Octets input_{};     // what next() cuts up: as it was fed, or what is in partial_
    std::size_t taken_in_{0}; // octets of input_ that next() has cut off
    bool keepalive_asked_{false};
};

} // namespace dotproxy
