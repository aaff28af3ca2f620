// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Upstreams: all connections of a worker to its upstreams, and which inquiry goes over which.
//
// Endpoints are tried in the order of the configuration. While a question waits and none is ready,
// connection attempts race: one starts, a moment later or at the first one's failure the next; the
// first that is verified serves, and one to a preferred upstream takes over when it comes up. An
// endpoint that failed is tried again after a pause (Endpoint).
//
// Lanes. A connection that dies takes the queries on it along, and one of them may be the reason.
// Those that may be travel on in a side lane, of which there are a few: each has a connection of
// its own that carries one question at a time. So a question that breaks connections soon travels
// alone, and all the others get their answers (L80, L83, L84).
//
// A peer may also close a connection because it has answered enough on it (RFC 7766,
// section 6.2.3), and a question may be on several of those at their ends. So its last send goes
// over a connection that has answered nothing yet: if that one ends too, the question is to blame,
// or a peer that answers nobody (C13, L34).

#pragma once

#include "base/deadline.hh"
#include "dns/response.hh"
#include "proxy/connection.hh"
#include "proxy/endpoint.hh"
#include "proxy/inquiry.hh"
#include "proxy/turn.hh"
#include "tls/client_context.hh"
#include "tls/identity.hh"

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace dotproxy {

class Relay;

class Upstreams {
  public:
    /// `context` and `relay` outlive it; `relay` need not be made yet.
    Upstreams(Turn& turn, const tls::ClientContext& context, Relay& relay);

    /// Sends an inquiry as soon as there is a connection for it.
    void submit(Inquiry& inquiry) noexcept;
    /// The inquiry is over: whatever answer still comes for it is late.
    void abandon(Inquiry& inquiry) noexcept;

    /// Whether no upstream works now.
    [[nodiscard]] bool failing() const noexcept;

    /// Why there is no answer, for those who waited in vain. The text lives until the next call.
    [[nodiscard]] dns::ExtendedError excuse() noexcept;

    void expire() noexcept;
    void soonest(TimePoint& earliest) noexcept;
    /// Hands out what waits, makes connections for it, and writes.
    void flush() noexcept;
    void bury() noexcept;
    /// Takes leave of every upstream, for the end of the process (C73).
    void close_all() noexcept;

    // What connections report.
    [[nodiscard]] Relay& relay() noexcept { return relay_; }

    void mark_dirty(Connection& connection) noexcept;
    void on_ready(Connection& connection) noexcept;
    void on_answer(Connection& connection) noexcept;
    void on_closed(Connection& connection, Connection::State was, Trouble trouble,
                   std::string reason) noexcept;

  private:
    static constexpr unsigned lane_count = 5; // lane 0 is for all, the others are side lanes

    struct Lane {
        Inquiry* first{nullptr}; // the queue of those that wait for a connection
        Inquiry* last{nullptr};
        std::size_t queued{0};
        TimePoint next_attempt{
            TimePoint::min()};    // no attempt before, while another one is under way
        bool spare_wanted{false}; // a connection, though nothing waits for it
    };

    void make_endpoints();
    void enqueue(Inquiry& inquiry, bool in_front) noexcept;
    void dequeue(Inquiry& inquiry) noexcept;
    [[nodiscard]] static TimePoint free_from(const Connection& connection,
                                             const Inquiry& inquiry) noexcept;
    [[nodiscard]] Connection* pick(const Inquiry& inquiry) noexcept;
    void send(Connection& connection, Inquiry& inquiry) noexcept;
    void hand_out(unsigned lane) noexcept;

    [[nodiscard]] unsigned best_ready_rank(unsigned lane) const noexcept;
    /// Whether there is a race in a lane; with `endpoint`, whether that one takes part.
    [[nodiscard]] bool attempting(unsigned lane, const Endpoint* endpoint = nullptr) const noexcept;
    [[nodiscard]] Endpoint* next_endpoint(unsigned lane) noexcept;
    [[nodiscard]] bool seek(unsigned lane) noexcept;
    void connect(Endpoint& endpoint, unsigned lane) noexcept;
    void give_up(unsigned lane) noexcept;
    [[nodiscard]] bool hopeless() const noexcept;

    void overdue(Inquiry& inquiry) noexcept;
    void stalled(Connection& connection) noexcept;
    void send_again(Inquiry& inquiry, const Connection& lost, bool sent) noexcept;
    void change_lane(Inquiry& inquiry, const Connection& lost) noexcept;
    [[nodiscard]] std::size_t load(unsigned lane) const noexcept;
    void trouble(Endpoint& endpoint, Trouble trouble, std::string reason) noexcept;

    Turn& turn_;
    const tls::ClientContext& context_;
    Relay& relay_;
    std::vector<tls::Identity> identities_; // one an upstream; never changes once made
    std::vector<std::unique_ptr<Endpoint>> endpoints_;
    std::vector<std::unique_ptr<Connection>> connections_;
    std::vector<Connection*> dirty_;
    std::array<Lane, lane_count> lanes_{};
    DeadlineQueue<Inquiry> attempts_; // in flight, by when their upstream should have answered
    std::minstd_rand random_;
    std::string excuse_;
    log::Limiter failure_log_;
    bool closed_any_{false};
};

} // namespace dotproxy
