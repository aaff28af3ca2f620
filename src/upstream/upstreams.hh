// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Upstreams: has inquiries answered: which goes over which connection, when another connection is
// made, and what becomes of inquiries whose connection fell silent or ended.
//
// Endpoints are tried in the order of the configuration. While a question waits and none is ready,
// connection attempts race: one starts, a moment later or at the first one's failure the next; the
// first that is verified serves, and one to a preferred upstream takes over when it comes up. An
// endpoint that failed is tried again after a pause (Endpoint).
//
// Lanes. A connection that dies takes the queries on it along, and one of them may be the reason;
// nearly always none is. So they are asked again together, over fresh connections of a few group
// lanes, apart from all that is new. What loses its connection there too is asked for the last time
// alone, over a connection that carries nothing else. So the questions beside one that breaks
// connections lose two sends to it at most, and their third is answered; with a connection that
// ends for a reason of its own they lose one, and a round trip (L80, L81, L83, L84).
//
// A peer may also close a connection because it has answered enough on it (RFC 7766,
// section 6.2.3), and a question may be on several of those at their ends. So its last send goes
// over a connection that has answered nothing yet: if that one ends too, the question is to blame,
// or a peer that answers nobody (C13, L34).

#pragma once

#include "base/deadline.hh"
#include "dns/response.hh"
#include "upstream/connection.hh"
#include "upstream/connections.hh"
#include "upstream/endpoints.hh"
#include "upstream/failover.hh"
#include "upstream/inquiry.hh"
#include "upstream/lanes.hh"
#include "upstream/turn.hh"

#include <random>
#include <string>
#include <vector>

namespace dotproxy {

class Upstreams final : public Connection::Owner {
  public:
    /// Those of one group. `endpoints` and `inquirer` outlive it.
    Upstreams(Turn& turn, Endpoints& endpoints, Inquirer& inquirer);

    /// Sends an inquiry as soon as there is a connection for it.
    void submit(Inquiry& inquiry) noexcept;
    /// Asks anew what was submitted long ago and is in flight in vain.
    void renew(Inquiry& inquiry) noexcept;
    /// The inquiry is over: whatever answer still comes for it is late.
    void abandon(Inquiry& inquiry) noexcept;

    /// An inquiry is not to be waited for any longer. Where an upstream answered it with a failure,
    /// that is told as its answer now. false: none did.
    bool settle(Inquiry& inquiry) noexcept { return Failover::settle(inquiry, inquirer_); }

    /// Whether no upstream works now.
    [[nodiscard]] bool failing() const noexcept { return endpoints_.failing(); }

    /// Why there is no answer, for those who waited in vain. The text lives until the next call.
    [[nodiscard]] NoAnswer excuse() noexcept { return endpoints_.excuse(); }

    void expire() noexcept;
    void soonest(TimePoint& earliest) noexcept;
    /// Hands out what waits, makes connections for it, and writes.
    void flush() noexcept;
    void bury() noexcept;

    [[nodiscard]] std::size_t connections() const noexcept { return connections_.size(); }

    /// Takes leave of every upstream, for the end of the process (C73).
    void close_all() noexcept;

    void mark_dirty(Connection& connection) noexcept override;

    [[nodiscard]] bool wants_proof(const Connection& connection) noexcept override {
        return connection.endpoint().must_answer_probe();
    }

    void on_ready(Connection& connection) noexcept override;
    void on_answer(Connection& connection) noexcept override;
    void on_response(Connection& connection, Inquiry& inquiry,
                     const Reply& reply) noexcept override;
    void on_silent(Connection& connection) noexcept override;
    void on_closed(Connection& connection, Connection::State was, Connection::End how,
                   std::string reason) noexcept override;

  private:
    void enter_lane(Inquiry& inquiry) noexcept;
    void leave_lane(Inquiry& inquiry) noexcept;
    void send(Connection& connection, Inquiry& inquiry) noexcept;
    void hand_out(unsigned lane) noexcept;

    [[nodiscard]] bool seek(unsigned lane) noexcept;
    void connect(Endpoint& endpoint, unsigned lane) noexcept;
    void give_up(unsigned lane) noexcept;
    void fail(Inquiry& inquiry, const NoAnswer& why) noexcept;
    void take(const Failover::Step& step, Inquiry& inquiry) noexcept;

    void overdue(Inquiry& inquiry) noexcept;
    [[nodiscard]] Endpoint* other_than(const Endpoint& slow) const noexcept;
    void take_overdue(Connection& connection) noexcept;
    void judge(Connection& connection, Connection::State was, Trouble why,
               std::string reason) noexcept;
    [[nodiscard]] Clock::duration pause(const Lane& lane) const noexcept;
    void send_again(Inquiry& inquiry, const Connection& lost, bool sent) noexcept;
    [[nodiscard]] static bool crossed(const Inquiry& inquiry, const Connection& lost) noexcept;
    void step_aside(Inquiry& inquiry) const noexcept;

    Turn& turn_;
    Endpoints& endpoints_;
    Inquirer& inquirer_;
    Failover failover_;
    Connections connections_;
    std::vector<Connection*> dirty_;
    Lanes lanes_;
    DeadlineQueue<Inquiry> checks_; // in flight, by when to ask another upstream as well
    DeadlineQueue<Inquiry> waits_;  // in the lane of one upstream, by when to go elsewhere
    std::minstd_rand random_;       // for the IDs on the wire
    bool closed_any_{false};
};

} // namespace dotproxy
