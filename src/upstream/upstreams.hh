// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Upstreams: a group that is asked over TLS: which inquiry goes over which connection, when another
// connection is made, and what becomes of inquiries whose connection fell silent or ended.
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
#include "shared/counter_region.hh"
#include "tls/client_context.hh"
#include "upstream/connection.hh"
#include "upstream/connections.hh"
#include "upstream/endpoints.hh"
#include "upstream/failover.hh"
#include "upstream/group.hh"
#include "upstream/health_check.hh"
#include "upstream/inquiry.hh"
#include "upstream/lanes.hh"
#include "upstream/turn.hh"

#include <random>
#include <string>
#include <vector>

namespace dotproxy {

class Upstreams final : public Group, public Connection::Owner {
  public:
    /// Those of the group of that number. `contexts`, one for each upstream of all groups, `counts`
    /// and `inquirer` outlive it. Throws as Endpoints does.
    Upstreams(Turn& turn, unsigned group, const tls::ClientContexts& contexts,
              const CounterLease& counts, Inquirer& inquirer, HealthCheck::Timing timing);

    void submit(Inquiry& inquiry) noexcept override;
    void abandon(Inquiry& inquiry) noexcept override;

    [[nodiscard]] bool failing() const noexcept override { return endpoints_.failing(); }

    [[nodiscard]] NoAnswer excuse() noexcept override { return endpoints_.excuse(); }

    void start_check() noexcept override { health_check_.start(); }

    void stop_check() noexcept override { health_check_.stop(); }

    void expire() noexcept override;
    void soonest(TimePoint& earliest) noexcept override;
    /// Hands out what waits, makes connections for it, and writes.
    void flush() noexcept override;
    void bury() noexcept override;
    void close_all() noexcept override;

    [[nodiscard]] std::size_t connections() const noexcept override { return connections_.size(); }

    [[nodiscard]] Endpoints& endpoints() noexcept { return endpoints_; }

    [[nodiscard]] HealthCheck& health_check() noexcept { return health_check_; }

    void mark_dirty(Connection& connection) noexcept override;

    [[nodiscard]] bool wants_proof(const Connection& connection) noexcept override {
        return connection.endpoint().must_answer_probe();
    }

    void on_ready(Connection& connection) noexcept override;
    void on_answer(Connection& connection) noexcept override;
    void on_response(Connection& connection, Inquiry& inquiry,
                     const Reply& reply) noexcept override;
    void on_lost(Connection& connection, Inquiry& inquiry, bool processed,
                 const std::string& reason) noexcept override;
    void on_busy(Connection& connection, Clock::duration rest) noexcept override;
    void on_leaving(Connection& connection) noexcept override;
    void on_silent(Connection& connection) noexcept override;
    void on_closed(Connection& connection, Connection::State was, Connection::End how,
                   std::string reason) noexcept override;

  private:
    void enter_lane(Inquiry& inquiry) noexcept;
    void leave_lane(Inquiry& inquiry) noexcept;
    void send(Connection& connection, Inquiry& inquiry) noexcept;
    void hand_out(unsigned lane) noexcept;

    [[nodiscard]] bool go_on(Connection& connection, Inquiry& inquiry, const Reply& reply) noexcept;
    [[nodiscard]] bool may_connect(const Endpoint& endpoint, unsigned lane) const noexcept;
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
    Endpoints endpoints_;
    HealthCheck health_check_;
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
