// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// FrameWire: what a connection carries where messages are framed by their length, as in DNS over
// TLS (RFC 7858, section 3.3): inquiries become frames to be encrypted, octets that were decrypted
// become answers. It knows which inquiry each message ID stands for, and does no I/O.

#pragma once

#include "base/buffer.hh"
#include "base/clock.hh"
#include "dns/wire.hh"
#include "upstream/inquiry.hh"
#include "upstream/slots.hh"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dotproxy {

class FrameWire {
  public:
    /// Something that came out of the stream.
    struct Arrival {
        enum class Kind : std::uint8_t {
            nothing, // no whole message is left
            answer,  // to `inquiry`, in `slot`, which the receiver frees when it is done
            probe,   // the probe was answered; its slot is free again
            late,    // nobody waits for it any more; `slot`, unless it is none, is free again
            broken,  // the stream makes no sense, as `reason` says: the connection has to end
        };
        Kind kind{Kind::nothing};
        std::uint16_t slot{Slots::none};
        Inquiry* inquiry{nullptr};
        dns::Octets message{};
        const char* reason{nullptr};
    };

    /// `id_mask`: random, so that IDs on the wire do not count up (C97).
    explicit FrameWire(std::uint16_t id_mask) noexcept : slots_{id_mask} {}

    /// Whether there is an ID for another query. One is kept for a probe.
    [[nodiscard]] bool has_room() const noexcept {
        return slots_.taken() + (is_probed() ? 0 : 1) < Slots::capacity;
    }

    /// Queues the query of an inquiry. Returns its slot.
    [[nodiscard]] std::uint16_t send(Inquiry& inquiry) noexcept;
    /// Queues a query of our own, for the name servers of the root.
    void send_probe() noexcept;

    /// Whether a probe was sent and not answered yet.
    [[nodiscard]] bool is_probed() const noexcept { return probe_ != Slots::none; }

    /// Whether there is an ID for another one.
    [[nodiscard]] bool can_probe() const noexcept { return slots_.taken() < Slots::capacity; }

    /// Nobody waits for the last one any more; its ID stays taken.
    void forget_probe() noexcept {
        if (is_probed()) {
            slots_.forget(probe_);
            probe_ = Slots::none;
        }
    }

    /// Frames to be encrypted. Their sender calls on_sent() once they are.
    [[nodiscard]] dns::Octets queued() const noexcept { return queued_.view(); }

    /// What was queued is on its way. Returns how many queries of inquiries that were.
    std::size_t on_sent() noexcept;

    /// Hands in plaintext, borrowed until keep_rest(): next() cuts it up, keep_rest() comes last.
    void feed(dns::Octets plain) noexcept;
    [[nodiscard]] Arrival next() noexcept;
    /// Keeps the beginning of a frame whose rest has not come.
    void keep_rest(TimePoint now) noexcept;

    /// Since when a frame is incomplete; TimePoint::max() while none is.
    [[nodiscard]] TimePoint partial_since() const noexcept {
        return partial_.empty() ? TimePoint::max() : partial_since_;
    }

    void free(std::uint16_t slot) noexcept { slots_.free(slot); }

    /// The inquiry in `slot` is over: its ID stays taken until the answer comes (C98).
    void forget(std::uint16_t slot) noexcept { slots_.forget(slot); }

    /// How many IDs are lost to questions that were never answered.
    [[nodiscard]] std::size_t forgotten() const noexcept { return slots_.forgotten(); }

    /// Queries that somebody waits for; a probe is not among them.
    [[nodiscard]] std::size_t in_flight() const noexcept {
        return slots_.taken() - slots_.forgotten() - (is_probed() ? 1 : 0);
    }

    /// Visits every inquiry in flight.
    template <class Visit>
    void for_each_inquiry(Visit visit) noexcept {
        for (const Slots::Slot& slot : slots_) {
            if (slot.inquiry != nullptr) {
                visit(*slot.inquiry);
            }
        }
    }

    /// Takes every inquiry off. `visit(Inquiry&, bool sent)`: `sent` is false when it never left
    /// this host.
    template <class Visit>
    void release_inquiries(Visit visit) noexcept {
        for (Slots::Slot& slot : slots_) {
            if (Inquiry* inquiry = slot.inquiry) {
                slot.inquiry = nullptr;
                visit(*inquiry, slot.sent);
            }
        }
    }

  private:
    void queue(dns::Octets message) noexcept;
    [[nodiscard]] Arrival arrival_of(dns::Octets message) noexcept;

    Slots slots_;
    Buffer queued_;                     // frames to be encrypted
    std::vector<std::uint16_t> unsent_; // slots of inquiries whose frames are in queued_
    Buffer partial_;                    // the beginning of a frame whose rest has not come
    TimePoint partial_since_{};
    dns::Octets input_{};     // what next() cuts up: as it was fed, or what is in partial_
    std::size_t taken_in_{0}; // octets of input_ that next() has cut off
    std::uint16_t probe_{Slots::none};
    bool keepalive_asked_{false};
};

} // namespace dotproxy
