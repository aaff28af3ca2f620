// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Connection: the life of one TLS connection to an endpoint. What it carries is QueryWire's:
// queries of a turn leave in one record, answers come in any order.
//
//   connecting -> handshaking -> (proving ->) ready -> retiring -> closed
//
// proving: its owner wants a query of our own to be answered first, as where the endpoint had
// fallen silent. Where such queries are in vain it is ready, and on trial: for a few questions at a
// time, until it answers one. retiring: takes no new queries, and ends when nothing is in flight.
// Every state can go to closed; the object lives until the end of the turn.

#pragma once

#include "base/fd.hh"
#include "base/loop.hh"
#include "tls/client_stream.hh"
#include "upstream/endpoint.hh"
#include "upstream/inquiry.hh"
#include "upstream/lanes.hh"
#include "upstream/query_wire.hh"
#include "upstream/turn.hh"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

namespace dotproxy {

class Connection final : public Watch {
  public:
    enum class State : std::uint8_t { connecting, handshaking, proving, ready, retiring, closed };

    /// What an end means for the endpoint, and what it is counted as: reset is a close by the peer.
    struct End {
        Trouble trouble; // none: it was we who closed it
        ConnectFailure failure;
    };

    /// Who makes connections, and is told what becomes of them. He frees none of them in a call,
    /// but after the flush.
    class Owner {
      public:
        /// There is something to write: flush() is due in this turn.
        virtual void mark_dirty(Connection& connection) noexcept = 0;

        /// The peer is verified: whether it has to answer a probe before anything else.
        [[nodiscard]] virtual bool wants_proof(const Connection& connection) noexcept = 0;

        /// It is ready, and its endpoint has shown that it answers, or was not in doubt.
        virtual void on_ready(Connection& connection) noexcept = 0;

        /// Something was answered, be it a probe.
        virtual void on_answer(Connection& connection) noexcept = 0;

        /// An inquiry was answered; it may be freed in the call.
        virtual void on_response(Connection& connection, Inquiry& inquiry,
                                 const Reply& reply) noexcept = 0;

        /// What was asked for an inquiry came to nothing, while the connection goes on; whether the
        /// upstream has looked at it. The inquiry may be freed in the call.
        virtual void on_lost(Connection& connection, Inquiry& inquiry, bool processed,
                             const std::string& reason) noexcept = 0;

        /// The upstream wants to be left alone for so long.
        virtual void on_busy(Connection& connection, Clock::duration rest) noexcept = 0;

        /// The upstream will close it, and takes no more questions on it.
        virtual void on_leaving(Connection& connection) noexcept = 0;

        /// It answers nothing, not even a probe, while questions are in flight (L31, L32).
        virtual void on_silent(Connection& connection) noexcept = 0;

        /// It is closed; `was` is its state before. `reason` is for the log.
        virtual void on_closed(Connection& connection, State was, End how,
                               std::string reason) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    /// `id_mask`: random, so that IDs on the wire do not count up (C97).
    Connection(Turn& turn, Owner& owner, Endpoint& endpoint, unsigned lane,
               std::uint16_t id_mask) noexcept;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Begins to connect. A failure is reported to the owner like any other, at once.
    void start() noexcept;

    void on_ready(std::uint32_t events) noexcept override;

    /// Whether send() may be called.
    [[nodiscard]] bool has_room() const noexcept;

    /// Whether its first questions stand in for the probe.
    [[nodiscard]] bool is_on_trial() const noexcept {
        return on_trial_ && state_ == State::ready && endpoint_.is_doubtful();
    }

    /// Whether it has to answer a probe before it is asked anything else.
    [[nodiscard]] bool is_suspect() const noexcept { return suspect_ && state_ == State::ready; }

    /// Queues the query of an inquiry for the flush.
    void send(Inquiry& inquiry) noexcept;

    /// The inquiry in `slot` is over: its ID stays taken until the answer comes (C98).
    void forget(std::uint16_t slot) noexcept;

    /// Encrypts and writes what is queued.
    void flush() noexcept;

    /// When on_deadline() is due; TimePoint::max() for never.
    [[nodiscard]] TimePoint deadline() const noexcept { return deadline_; }

    void on_deadline() noexcept;

    /// Takes no new queries; closes when nothing is in flight any more.
    void retire() noexcept {
        if (state_ == State::ready) {
            state_ = State::retiring;
            retires_at_ = turn_.now + turn_.config.timeouts.query;
            set_deadline();
        }
    }

    /// Ends it in order, with close_notify where there is a session.
    void close() noexcept {
        stream_.close();
        end({Trouble::none, ConnectFailure::other}, {});
    }

    [[nodiscard]] State state() const noexcept { return state_; }

    /// "TLS 1.3"; meaningful once the peer is verified.
    [[nodiscard]] const char* tls_version() const noexcept { return stream_.version(); }

    [[nodiscard]] Endpoint& endpoint() const noexcept { return endpoint_; }

    [[nodiscard]] unsigned lane() const noexcept { return lane_; }

    /// Those that somebody waits for.
    [[nodiscard]] std::size_t in_flight() const noexcept { return wire_->in_flight(); }

    [[nodiscard]] std::uint64_t answers() const noexcept { return answers_; }

    /// Until when the stream made sense: what was asked later cannot have upset it.
    [[nodiscard]] TimePoint sound_until() const noexcept {
        return std::min(heard_at_, wire_->partial_since());
    }

    /// Visits every inquiry in flight.
    template <class Visit>
    void for_each_inquiry(Visit visit) noexcept {
        wire_->for_each_inquiry(visit);
    }

    /// Takes every inquiry off a closed connection. `visit(Inquiry&, bool sent)`: `sent` is false
    /// when it never left this host.
    template <class Visit>
    void release_inquiries(Visit visit) noexcept {
        wire_->release_inquiries([&](Inquiry& inquiry, bool sent) {
            inquiry.remove_place(*this);
            visit(inquiry, sent);
        });
    }

  private:
    void on_slot_free() noexcept;

    /// Whether it was asked for a sign of life since it was last heard.
    [[nodiscard]] bool is_probed() const noexcept {
        return wire_->is_probed() && heard_at_ <= probed_at_;
    }

    void on_connected() noexcept;
    void on_readable() noexcept;
    void take_in() noexcept;
    void on_verified() noexcept;
    void become_ready() noexcept;
    void probe() noexcept;
    void read(dns::Octets plain) noexcept;
    void on_arrival(const QueryWire::Arrival& arrival) noexcept;
    void on_late(const QueryWire::Arrival& arrival) noexcept;
    void on_lost(const QueryWire::Arrival& arrival) noexcept;
    void on_probe_lost(const QueryWire::Arrival& arrival) noexcept;
    void suspect() noexcept;
    void on_leaving() noexcept;
    void on_probe_answered() noexcept;
    void note_answer() noexcept;
    void on_answer(Inquiry& inquiry, std::uint16_t slot, dns::Octets message) noexcept;
    void note_keepalive(const dns::Response& response) noexcept;
    void encrypt_queued() noexcept;
    void write_out() noexcept;
    void set_deadline() noexcept;
    void finish() noexcept;
    void on_quiet() noexcept;
    void end_by_system(const char* what, int error) noexcept;
    void end_by_session() noexcept;
    void count_end(End how) noexcept;
    void end(End how, std::string reason) noexcept;

    void watch(std::uint32_t events) noexcept {
        if (events != events_) {
            events_ = events;
            watching_.modify(events);
        }
    }

    void count(UpstreamCounter what, std::uint64_t n = 1) noexcept {
        endpoint_.counts().add(what, n);
    }

    void time(UpstreamTime what, TimePoint since) noexcept {
        endpoint_.counts().time(what).add(turn_.now - since);
    }

    Turn& turn_;
    Owner& owner_;
    Endpoint& endpoint_;
    tls::ClientStream stream_;
    Fd socket_;
    Watching watching_; // after the socket: it ends first
    std::unique_ptr<QueryWire> wire_;
    TimePoint deadline_{TimePoint::max()};
    TimePoint step_since_{}; // while connecting or handshaking
    TimePoint idle_since_{};
    TimePoint probed_at_{};
    TimePoint retires_at_{}; // at the latest, while retiring
    TimePoint heard_at_{};   // when octets last came from the peer
    // Since when octets are due: some that were asked for, and none came. Whoever asked may have
    // given up meanwhile, which says nothing of the peer. max() while nothing is due.
    TimePoint silent_since_{TimePoint::max()};
    std::uint64_t answers_{0};
    std::size_t fruitless_{0}; // octets since the last message
    unsigned in_vain_{0};      // queries that came to nothing since the last answer
    Clock::duration idle_limit_;
    std::uint32_t events_{0};
    unsigned lane_;
    State state_{State::connecting};
    bool used_{false};     // it has carried a query
    bool on_trial_{false}; // see above
    bool called_silent_{false};
    bool full_{false};    // the upstream takes no more questions until it has answered one
    bool suspect_{false}; // it has to answer a probe before anything else
    bool leaving_{false}; // the upstream has said so
};

/// Whether a connection is still in the race for who serves a lane.
[[nodiscard]] constexpr bool is_attempt(Connection::State state) noexcept {
    return state == Connection::State::connecting || state == Connection::State::handshaking ||
           state == Connection::State::proving;
}

} // namespace dotproxy
