// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// QueryWire: what a connection carries: inquiries become octets to be encrypted, octets that were
// decrypted become answers. It knows which inquiry is in which slot, and does no I/O.

#pragma once

#include "base/clock.hh"
#include "dns/wire.hh"
#include "upstream/inquiry.hh"
#include "upstream/slots.hh"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace dotproxy {

class QueryWire {
  public:
    /// How a query came to nothing while the connection goes on.
    enum class Loss : std::uint8_t {
        unprocessed, // the upstream has not looked at it
        failed,      // it has, and has no answer
        too_many,    // it was asked too much at a time
        busy,        // it cannot answer anybody now
        unfit,       // whoever answers there is no resolver, unless it is the question's fault
    };

    /// Something that came out of the stream.
    struct Arrival {
        enum class Kind : std::uint8_t {
            nothing,  // nothing whole is left
            answer,   // to `inquiry`, in `slot`, which the receiver frees when it is done
            probe,    // the probe was answered; its slot is free again
            late,     // nobody waits for it any more; `slot`, unless it is none, is free again
            lost,     // `inquiry`, or the probe where there is none, as `loss` and `reason` say;
                      // its slot is free again
            alive,    // the peer lives, though it has answered nothing
            leaving,  // it takes no more queries; those that it has it may answer still
            expelled, // it will have none of ours, as `loss` and `reason` say: the connection ends
            broken,   // the stream makes no sense, as `reason` says: the connection has to end
        };
        Kind kind{Kind::nothing};
        std::uint16_t slot{Slots::none};
        Inquiry* inquiry{nullptr};
        dns::Octets message{};
        Loss loss{Loss::failed};
        std::chrono::seconds rest{0}; // for which the upstream wants to be left alone
        std::string reason{};
    };

    /// `id_mask`: random, so that IDs on the wire do not count up (C97).
    explicit QueryWire(std::uint16_t id_mask) noexcept : slots_{id_mask} {}

    QueryWire(const QueryWire&) = delete;
    QueryWire& operator=(const QueryWire&) = delete;
    virtual ~QueryWire() = default;

    /// Whether another query can be sent. There is room for a probe besides.
    [[nodiscard]] virtual bool has_room() const noexcept = 0;

    /// Queues the query of an inquiry. Returns its slot.
    [[nodiscard]] virtual std::uint16_t send(Inquiry& inquiry) noexcept = 0;
    /// Queues a query of our own, for the name servers of the root.
    virtual void send_probe() noexcept = 0;
    /// Queues a probe, or whatever else makes a peer show that it lives.
    virtual void ask_for_life() noexcept = 0;

    /// Whether either was sent and not answered yet.
    [[nodiscard]] virtual bool is_probed() const noexcept { return probe_ != Slots::none; }

    /// Whether there is room for another one.
    [[nodiscard]] virtual bool can_probe() const noexcept = 0;

    /// Nobody waits for the last one any more.
    virtual void forget_probe() noexcept {
        if (probe_ != Slots::none) {
            forget(probe_);
            probe_ = Slots::none;
        }
    }

    /// How many octets wait to be encrypted.
    [[nodiscard]] virtual std::size_t waiting() const noexcept = 0;

    /// Those octets. Who encrypts them calls on_sent() then.
    [[nodiscard]] virtual dns::Octets queued() noexcept = 0;

    /// Whether it can be used. What is not sound says why with the next arrival, if it says so at
    /// all.
    [[nodiscard]] virtual bool is_sound() const noexcept { return true; }

    /// What was queued is on its way. Returns how many queries of inquiries that were.
    virtual std::size_t on_sent() noexcept = 0;

    /// Whether an answer to another question than was asked says nothing about all the others.
    [[nodiscard]] virtual bool keeps_apart() const noexcept = 0;

    /// Hands in plaintext, borrowed until keep_rest(): next() cuts it up, keep_rest() comes last.
    virtual void feed(dns::Octets plain) noexcept = 0;
    [[nodiscard]] virtual Arrival next() noexcept = 0;
    /// Keeps the beginning of what has not come whole.
    virtual void keep_rest(TimePoint now) noexcept = 0;

    /// Since when an answer that holds up all others is incomplete; TimePoint::max() while none is.
    [[nodiscard]] virtual TimePoint partial_since() const noexcept = 0;

    /// How many octets may have come that are part of answers which are not whole.
    [[nodiscard]] virtual std::size_t partial_limit() const noexcept { return 0; }

    void free(std::uint16_t slot) noexcept { slots_.free(slot); }

    /// The inquiry in `slot` is over.
    virtual void forget(std::uint16_t slot) noexcept = 0;

    /// How many slots are lost to questions that were never answered.
    [[nodiscard]] std::size_t forgotten() const noexcept { return slots_.forgotten(); }

    /// Queries that somebody waits for; a probe is not among them.
    [[nodiscard]] std::size_t in_flight() const noexcept {
        return slots_.taken() - slots_.forgotten() - (probe_ != Slots::none ? 1 : 0);
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

  protected:
    Slots slots_;
    std::uint16_t probe_{Slots::none};
};

/// The query of an inquiry, with that ID: written to `out`, which holds at least
/// dns::max_query_size octets, unless it is sealed.
[[nodiscard]] dns::Octets write_query(Inquiry& inquiry, std::uint16_t id, bool keepalive,
                                      dns::MutableOctets out) noexcept;

/// The same for a query of our own. Returns its size.
[[nodiscard]] std::size_t write_probe(std::uint16_t id, dns::MutableOctets out) noexcept;

} // namespace dotproxy
