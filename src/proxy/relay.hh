// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Relay: decides what becomes of each query and owns it until it is answered. A query is answered
// here, joins the same question in flight, or goes to the upstreams; then exactly one answer goes
// to its client, whatever happens (L46). It does no I/O.

#pragma once

#include "base/deadline.hh"
#include "base/slab.hh"
#include "dns/response.hh"
#include "proxy/client.hh"
#include "proxy/inquiry.hh"
#include "proxy/turn.hh"

namespace dotproxy {

class Upstreams;

class Relay {
  public:
    Relay(Turn& turn, Upstreams& upstreams);

    /// Takes a message from a client. false: it gets no answer (counted). true: it has been
    /// answered or will be, exactly once.
    [[nodiscard]] bool ask(const Client& client, dns::Octets message) noexcept;

    /// An upstream answered: passes it to everybody who waits and ends the inquiry. What may not be
    /// passed on (L82) becomes SERVFAIL.
    void answered(Inquiry& inquiry, dns::Octets message, dns::ResponseVerdict verdict,
                  const dns::Response& response) noexcept;

    /// There is no answer to be had: SERVFAIL to everybody who waits; ends the inquiry.
    void failed(Inquiry& inquiry, const dns::ExtendedError& error) noexcept;

    /// Fails what has waited too long.
    void expire() noexcept;

    void soonest(TimePoint& earliest) const noexcept { patience_.soonest(earliest); }

    /// Fails everything that waits; for the end of a drain.
    void fail_all() noexcept;

    [[nodiscard]] bool idle() const noexcept { return waiters_.size() == 0; }

  private:
    void fail_query(const Client& client, const dns::ParsedQuery& query, dns::Rcode rcode,
                    const std::optional<dns::ExtendedError>& error) noexcept;
    [[nodiscard]] bool answer_locally(const Client& client, const dns::ParsedQuery& query) noexcept;
    void forward(const Client& client, const dns::ParsedQuery& query, dns::Octets sealed) noexcept;
    void fail_waiter(Waiter& waiter, const dns::ExtendedError& error) noexcept;
    void end_waiter(Waiter& waiter) noexcept;
    void end(Inquiry& inquiry) noexcept;
    void count_truncated(dns::Octets answer) noexcept;

    Turn& turn_;
    Upstreams& upstreams_;
    DeadlineQueue<Waiter> patience_; // before what stands in it
    Slab<Waiter> waiters_;
    Inquiries inquiries_;
    dns::ParsedQuery query_; // of the message at hand
};

} // namespace dotproxy
