// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Inquiry: one question on its way to an upstream: what is asked, how often it was sent, and where
// it is. Who waits for the answer is no concern of this room.
// Inquirer: who has questions asked, and what becomes of them.

#pragma once

#include "base/deadline.hh"
#include "dns/query.hh"
#include "dns/response.hh"
#include "shared/counted.hh"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace dotproxy {

class Connection;
class PlainQuery;

/// What an upstream answered, borrowed. `response` is meaningful as Inquirer::answered() says.
struct Reply {
    dns::Octets message;
    dns::ResponseVerdict verdict;
    const dns::Response& response;
};

/// The failure that was answered first, while another upstream is asked (L82).
struct HeldFailure {
    dns::ResponseVerdict verdict;
    std::vector<std::uint8_t> message; // empty where it is not to be passed on anyway
    bool bogus{false};                 // the data failed validation, though it does not say so
};

/// At most three sends for one question, all causes together (C74, L81).
constexpr std::size_t max_sends = 3;

/// Its deadline is when another upstream may be asked as well, armed at each send.
struct Inquiry : Deadline {
    dns::Question question;
    std::vector<std::uint8_t> sealed; // the query itself where it is signed; else empty (C25)

    /// Where it is in flight: connections that may still answer it.
    struct Place {
        Connection* connection{nullptr};
        std::uint16_t slot{0};
    };

    std::array<Place, max_sends> places{};
    PlainQuery* queries{nullptr}; // and what is on its way in the clear: the first of a list
    std::uint8_t sends{0};
    std::uint8_t lane{0};   // see Lanes
    bool checking{false};   // it is asked with CD set, to learn why it failed
    std::uint64_t asked{0}; // a bit for each upstream that it was sent to, by its rank
    std::unique_ptr<HeldFailure> held;
    TimePoint asked_at{}; // when it was submitted
    TimePoint sent_at{};  // the last time

    bool overdue{false}; // and to be asked of another upstream as well, when one is connected

    // The queue of those that wait for a connection; see Lane.
    bool queued{false};
    Inquiry* queue_previous{nullptr};
    Inquiry* queue_next{nullptr};

    /// As before it was submitted. It waits in no lane and is in flight nowhere.
    void begin_anew() noexcept;

    [[nodiscard]] bool in_flight() const noexcept;

    /// Whether no more than one send is left.
    [[nodiscard]] bool has_one_send() const noexcept { return sends + 1U >= max_sends; }

    /// The connection that has it in flight, where that is one and it may be asked of another
    /// upstream as well; else nullptr. What may have broken a connection is not, nor what one
    /// failed to answer, which goes from one to the next.
    [[nodiscard]] const Connection* only_place() const noexcept;

    /// Keeps the failure that was answered, until settle().
    void hold(const Reply& reply) noexcept;

    void add_place(Connection& connection, std::uint16_t slot) noexcept;
    void remove_place(const Connection& connection) noexcept;
};

/// Whether a message can be taken apart, be it only in part an answer.
[[nodiscard]] constexpr bool is_readable(dns::ResponseVerdict verdict) noexcept {
    return verdict == dns::ResponseVerdict::accepted || verdict == dns::ResponseVerdict::mixed;
}

/// How a reply fails to answer, if it does: what cannot be taken apart is a failure as well.
[[nodiscard]] inline dns::Failure failure_of(const Reply& reply) noexcept {
    return is_readable(reply.verdict) ? dns::failure_of(reply.response) : dns::Failure::other;
}

/// Why there is no answer: for who counts, and for the client.
struct NoAnswer {
    FailureReason reason;
    dns::ExtendedError error;
};

/// Where nothing is known to be wrong with whom was asked.
[[nodiscard]] inline NoAnswer no_answer_in_time() noexcept {
    return {.reason = FailureReason::timeout,
            .error = dns::ExtendedError::of(dns::ExtendedError::no_reachable_authority,
                                            "no answer from the upstream in time")};
}

/// What upstreams tell who has them ask. Of each inquiry that was submitted and not abandoned they
/// tell answered() or failed(), once; it may be freed in the call.
class Inquirer {
  public:
    /// An upstream answered. `verdict` is accepted, mixed, malformed, truncated or unrelated;
    /// `response` is meaningful with the first two when the query was not sealed.
    virtual void answered(Inquiry& inquiry, dns::Octets message, dns::ResponseVerdict verdict,
                          const dns::Response& response) noexcept = 0;

    /// There is no answer to be had; `why` says why.
    virtual void failed(Inquiry& inquiry, const NoAnswer& why) noexcept = 0;

    /// An upstream that had failed answers again. Told before what it answered.
    virtual void recovered() noexcept = 0;

  protected:
    ~Inquirer() = default;
};

/// Ends an inquiry with the failure that it holds, which is told as its answer. false: it holds
/// none.
bool settle(Inquiry& inquiry, Inquirer& inquirer) noexcept;

} // namespace dotproxy
