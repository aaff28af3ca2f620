// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Relay: decides what becomes of each query and owns it until it is answered. A query is answered
// here or from the cache, joins the same question in flight, or goes to the upstreams; then exactly
// one answer goes to its client, whatever happens (L46). It does no I/O.

#pragma once

#include "base/deadline.hh"
#include "base/slab.hh"
#include "dns/response.hh"
#include "relay/address_counts.hh"
#include "relay/answer_cache.hh"
#include "relay/answers.hh"
#include "relay/client.hh"
#include "relay/inquiries.hh"
#include "upstream/inquiry.hh"
#include "upstream/turn.hh"

namespace dotproxy {

class Designations;
class Gate;
class Groups;

class Relay final : public Inquirer {
  public:
    /// All of them outlive it; `groups` need not be made yet. `memory`: of the cache, nullptr for
    /// none.
    Relay(Turn& turn, Gate& gate, Groups& groups, const Designations& designations,
          const CacheMemory* memory);

    /// What became of a message from a client.
    enum class Heard : std::uint8_t {
        nothing,  // it gets no answer (counted)
        nonsense, // answered with FORMERR or NOTIMP
        question, // it has been answered or will be, exactly once
    };

    /// Takes a message from a client.
    [[nodiscard]] Heard ask(const Client& client, dns::Octets message) noexcept;

    /// The same of a message from a client who may not ask: it is told so, or gets no answer
    /// (counted).
    void decline(const Client& client, dns::Octets message) noexcept;

    /// An upstream answered: passes it to everybody who waits and ends the inquiry. Records beside
    /// the answer are left out; what may not be passed on at all (L82) becomes SERVFAIL.
    void answered(Inquiry& inquiry, dns::Octets message, dns::ResponseVerdict verdict,
                  const dns::Response& response) noexcept override;

    /// There is no answer to be had: SERVFAIL to everybody who waits; ends the inquiry.
    void failed(Inquiry& inquiry, const NoAnswer& why) noexcept override;

    /// What has failed is worth another try.
    void recovered() noexcept override { cache_.recovered(); }

    /// Fails what has waited too long.
    void expire() noexcept;

    void soonest(TimePoint& earliest) const noexcept {
        patience_.soonest(earliest);
        stale_after_.soonest(earliest);
        rest_of_patience_.soonest(earliest);
    }

    /// This worker's time is over: what failed, or fails yet, says nothing to its successors.
    void drain() noexcept { cache_.drain(); }

    /// Fails everything that waits; for the end of a drain.
    void fail_all() noexcept;

    /// Whether nobody waits but the cache.
    [[nodiscard]] bool idle() const noexcept { return waiters_.size() == refreshing_; }

  private:
    [[nodiscard]] Heard take(const Client& client, dns::Octets message, dns::QueryVerdict verdict,
                             bool bad_cookie) noexcept;
    void give_cookie(const Client& client, dns::Rcode rcode) noexcept;
    void route() noexcept;
    [[nodiscard]] bool answer_locally(const Client& client) noexcept;
    [[nodiscard]] bool answer_from_cache(const Client& client) noexcept;
    [[nodiscard]] bool under_way(const dns::Question& question) noexcept;
    void forward(const Client& client, dns::Octets sealed) noexcept;
    void turn_away(const Client& client, const NoAnswer& why) noexcept;
    [[nodiscard]] std::optional<NoAnswer> objection(Waiter& waiter) noexcept;
    [[nodiscard]] AddressCounts::Place place_for(const Client& client) noexcept;
    [[nodiscard]] static Waiter* repeated(const Waiter& waiter) noexcept;
    [[nodiscard]] bool crowds(const Waiter& waiter) const noexcept;
    void refresh(const Client& client, std::uint64_t until) noexcept;
    [[nodiscard]] Waiter* enlist(const dns::Question& question, dns::Octets sealed) noexcept;

    void pass_on(Awaited& inquiry, const dns::Answer& answer) noexcept;
    void pass_on_excerpt(Awaited& inquiry, dns::Octets message,
                         const dns::Response& response) noexcept;
    void refuse(const Client& client, dns::Rcode rcode) noexcept;
    void truncate(const Client& client, dns::QueryVerdict verdict) noexcept;
    void charge(const Awaited& inquiry, std::uint32_t more) noexcept;
    [[nodiscard]] std::optional<dns::Answer> make_up(const Awaited& inquiry,
                                                     const dns::ExtendedError& error) noexcept;
    void go_stale(Waiter& waiter) noexcept;
    void time_out(Waiter& waiter) noexcept;
    void give_up(Waiter& waiter, const std::optional<dns::Answer>& instead,
                 const NoAnswer& why) noexcept;
    void end_waiter(Waiter& waiter) noexcept;
    void end(Awaited& inquiry) noexcept;

    /// That of the message at hand; nullptr where none could be read.
    [[nodiscard]] const dns::Question* question() const noexcept {
        return query_.question_end != 0 ? &query_.question : nullptr;
    }

    Turn& turn_;
    Gate& gate_;
    Answers answers_;
    Groups& groups_;
    const Designations& designations_;
    AnswerCache cache_;
    DeadlineQueue<Waiter> patience_;         // before what stands in it
    DeadlineQueue<Waiter> stale_after_;      // of those for whom there is an expired answer
    DeadlineQueue<Waiter> rest_of_patience_; // of those for whom stale_after_ is over
    AddressCounts addresses_;                // before the waiters, who have their places in it
    Slab<Waiter> waiters_;
    std::uint32_t refreshing_{0}; // waiters without a client
    std::uint32_t anybodys_{0};   // waiters that may_be_anybodys
    Inquiries inquiries_;
    dns::ParsedQuery query_; // of the message at hand
    bool routed_{false};     // a route says who is asked the question at hand
    bool expired_{false};    // of the question at hand there is an expired answer
};

} // namespace dotproxy
