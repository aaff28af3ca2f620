// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/failover.hh"

#include "upstream/connection.hh"

#include <algorithm>
#include <utility>

namespace dotproxy {

namespace {

using Kind = Failover::Step::Kind;

/// Whether it says that a name exists, or that it does not.
bool is_found(const Reply& reply) noexcept {
    const auto rcode = static_cast<dns::Rcode>(reply.response.rcode);
    return is_readable(reply.verdict) &&
           (rcode == dns::Rcode::noerror || rcode == dns::Rcode::nxdomain);
}

/// Whether an answer may come on another connection, one that takes questions still.
bool is_under_way(const Inquiry& inquiry) noexcept {
    return std::ranges::any_of(inquiry.places, [](const Inquiry::Place& place) {
        return place.connection != nullptr && place.connection->state() == Connection::State::ready;
    });
}

} // namespace

Failover::Failover(const Turn& turn, const Endpoints& endpoints)
    : turn_{turn}, endpoints_{endpoints},
      upstreams_{
          turn.config.failover_on_error && endpoints.upstreams() > 1
              ? static_cast<unsigned>(std::min<std::size_t>(endpoints.upstreams(), most_upstreams))
              : 0} {}

Failover::Step Failover::judge(Inquiry& inquiry, unsigned rank, const Reply& reply) noexcept {
    const bool checked = std::exchange(inquiry.checking, false);
    if (rank >= upstreams_ || !inquiry.sealed.empty()) {
        return {.kind = Kind::pass_on};
    }
    const dns::Failure failure = failure_of(reply);
    if (failure == dns::Failure::meant) {
        return {.kind = Kind::pass_on};
    }
    if (checked) {
        return after_check(inquiry, rank, is_found(reply));
    }
    return failure == dns::Failure::none ? after_answer(inquiry, rank)
                                         : after_failure(inquiry, rank, reply, failure);
}

Failover::Step Failover::after_answer(const Inquiry& inquiry, unsigned rank) noexcept {
    if (inquiry.held == nullptr) {
        return {.kind = Kind::pass_on};
    }
    if ((inquiry.asked & (bit_of(rank) - 1)) == 0) { // it is preferred to the one that failed
        names_.forget(inquiry.question.name);
    } else {
        names_.note_answer(inquiry.question.name, rank, turn_.now);
    }
    return {.kind = Kind::pass_on};
}

Failover::Step Failover::after_check(Inquiry& inquiry, unsigned rank, bool answered) noexcept {
    inquiry.held->bogus = answered;
    names_.note_check(inquiry.question.name, rank,
                      answered ? FailedNames::Check::bogus : FailedNames::Check::failed, turn_.now);
    return answered ? Step{.kind = Kind::settle} : ask_next(inquiry);
}

Failover::Step Failover::after_failure(Inquiry& inquiry, unsigned rank, const Reply& reply,
                                       dns::Failure failure) noexcept {
    auto check = FailedNames::Check::failed; // where there is nothing to be found out
    if (failure == dns::Failure::unexplained && !inquiry.question.checking_disabled) {
        check = names_.checked(inquiry.question.name, rank, turn_.now);
    }
    if (check == FailedNames::Check::bogus) {
        inquiry.hold(reply);
        inquiry.held->bogus = true;
        return {.kind = Kind::settle};
    }
    const bool first = inquiry.held == nullptr;
    Step step{.kind = Kind::wait};
    if (!is_under_way(inquiry)) {
        step = ask_next(inquiry);
        if (step.kind == Kind::ask && check == FailedNames::Check::unknown) {
            // Where no send is left for another upstream after it, there is no need to know.
            step = inquiry.has_one_send() ? Step{.kind = Kind::settle}
                                          : Step{.kind = Kind::ask, .rank = rank};
            inquiry.checking = step.kind == Kind::ask;
        }
    }
    if (first && step.kind == Kind::settle) {
        return {.kind = Kind::pass_on};
    }
    if (first) {
        inquiry.hold(reply);
    }
    return step;
}

Failover::Step Failover::after_waiting(Inquiry& inquiry, unsigned rank) const noexcept {
    if (std::exchange(inquiry.checking, false)) {
        return {.kind = Kind::settle};
    }
    inquiry.asked |= bit_of(rank);
    return ask_next(inquiry);
}

/// Whom to ask now that some have failed.
Failover::Step Failover::ask_next(const Inquiry& inquiry) const noexcept {
    if (inquiry.sends >= max_sends) {
        return {.kind = Kind::settle};
    }
    const auto other = std::ranges::find_if(endpoints_, [&](const auto& endpoint) {
        return endpoint->rank() < upstreams_ && (inquiry.asked & bit_of(endpoint->rank())) == 0 &&
               is_usable(*endpoint);
    });
    return other == endpoints_.end() ? Step{.kind = Kind::settle}
                                     : Step{.kind = Kind::ask, .rank = (*other)->rank()};
}

std::optional<unsigned> Failover::preferred(const Inquiry& inquiry) const noexcept {
    if (upstreams_ == 0 || !inquiry.sealed.empty()) {
        return std::nullopt;
    }
    const auto rank = names_.answered_by(inquiry.question.name, turn_.now);
    const bool usable = std::ranges::any_of(endpoints_, [&](const auto& endpoint) {
        return endpoint->rank() == rank && is_usable(*endpoint);
    });
    return usable ? rank : std::nullopt;
}

bool Failover::is_usable(const Endpoint& endpoint) const noexcept {
    return endpoint.trouble() == Trouble::none || endpoint.retry_at() <= turn_.now;
}

} // namespace dotproxy
