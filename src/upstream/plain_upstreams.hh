// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// PlainUpstreams: a group that is asked in the clear: servers of the own network, which speak
// nothing else. They are asked in the order of the configuration, those that fail after all others;
// the next one is asked as well when nothing has come for a while, and at once where there is an
// error. One that fails is asked besides now and then, so that nobody waits to learn how it fares.
// Over UDP and TCP together a question is asked three times at most (L81).

#pragma once

#include "base/deadline.hh"
#include "base/log.hh"
#include "base/slab.hh"
#include "shared/counter_region.hh"
#include "upstream/group.hh"
#include "upstream/inquiry.hh"
#include "upstream/lanes.hh"
#include "upstream/plain_endpoint.hh"
#include "upstream/plain_query.hh"
#include "upstream/turn.hh"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace dotproxy {

class PlainUpstreams final : public Group, public PlainQuery::Owner {
  public:
    /// Those of the group of that number. `counts` and `inquirer` outlive it. Throws when there is
    /// no memory.
    PlainUpstreams(Turn& turn, unsigned group, const CounterLease& counts, Inquirer& inquirer);

    void submit(Inquiry& inquiry) noexcept override;
    void abandon(Inquiry& inquiry) noexcept override;

    [[nodiscard]] bool failing() const noexcept override;
    [[nodiscard]] NoAnswer excuse() noexcept override;

    // They prove nothing, and whether they answer is seen when somebody asks.
    void start_check() noexcept override {}

    void stop_check() noexcept override {}

    void expire() noexcept override;
    void soonest(TimePoint& earliest) noexcept override;
    void flush() noexcept override;
    void bury() noexcept override;
    void close_all() noexcept override;

    // Each is for one question, so that nobody is the better for them.
    [[nodiscard]] std::size_t connections() const noexcept override { return 0; }

    void on_reply(PlainQuery& query, const Reply& reply) noexcept override;
    void on_sign_of_life(PlainQuery& query) noexcept override;
    void on_cut(PlainQuery& query) noexcept override;
    void on_fault(PlainQuery& query, const PlainQuery::Fault& fault) noexcept override;

  private:
    [[nodiscard]] std::size_t open() const noexcept { return queries_.size() - closed_.size(); }

    [[nodiscard]] bool is_full() const noexcept;
    void make_room() noexcept;

    enum class Sent : std::uint8_t { yes, failed, no_place };

    [[nodiscard]] Sent send(Inquiry& inquiry, PlainEndpoint& endpoint, bool edns) noexcept;
    void ask(Inquiry& inquiry, PlainEndpoint& endpoint, bool edns) noexcept;
    void ask_next(Inquiry& inquiry) noexcept;
    void try_failing(Inquiry& inquiry) noexcept;
    [[nodiscard]] PlainEndpoint& next_for(const Inquiry& inquiry) noexcept;
    [[nodiscard]] bool has_unasked(const Inquiry& inquiry) const noexcept;
    [[nodiscard]] bool may_be_bettered(const PlainQuery& query, const Reply& reply) const noexcept;
    [[nodiscard]] bool ask_without_edns(PlainQuery& query, const Reply& reply) noexcept;
    void hear(PlainQuery& query) noexcept;
    void overdue(PlainQuery& query) noexcept;
    [[nodiscard]] static bool awaits(const Inquiry& inquiry, const PlainQuery* but) noexcept;
    void go_on(Inquiry& inquiry) noexcept;
    void wait(Inquiry& inquiry) noexcept;
    void give_up(PlainQuery& query, const PlainQuery::Fault& fault) noexcept;
    void end(PlainQuery& query) noexcept;
    void conclude(Inquiry& inquiry) noexcept;
    void failed(PlainEndpoint& endpoint, std::string reason) noexcept;

    Turn& turn_;
    Inquirer& inquirer_;
    std::vector<std::unique_ptr<PlainEndpoint>> endpoints_; // in the order of the configuration
    Slab<PlainQuery> queries_;
    std::vector<PlainQuery*> closed_;    // among them, until the end of the turn
    Lane waiting_;                       // for a place among them
    DeadlineQueue<PlainQuery> patience_; // before another one is asked as well
    DeadlineQueue<PlainQuery> overdue_;  // after that, as long as a client would wait
    std::string excuse_;
    log::Limiter failure_log_;
};

} // namespace dotproxy
