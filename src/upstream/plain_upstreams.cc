// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/plain_upstreams.hh"

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// Of one turn: those that are open, and as many that have been closed.
constexpr std::uint32_t most_places = 2 * most_plain_queries;
constexpr unsigned lines_at_once = 10; // of the log

bool is_asked(const Inquiry& inquiry, const PlainEndpoint& endpoint) noexcept {
    return (inquiry.asked & endpoint.bit()) != 0;
}

/// Whose time a lost datagram takes before it is sent again: of a server in the own network, and of
/// a client's patience.
Clock::duration patience_of(const Config& config) noexcept {
    return std::min<Clock::duration>(1s, Patience::client(config) / 4);
}

} // namespace

PlainUpstreams::PlainUpstreams(Turn& turn, unsigned group, const CounterLease& counts,
                               Inquirer& inquirer)
    : turn_{turn}, inquirer_{inquirer}, queries_{most_places}, patience_{patience_of(turn.config)},
      failure_log_{lines_at_once, 10s} {
    closed_.reserve(most_places);
    for (const UpstreamConfig& upstream : turn.config.upstreams) {
        if (upstream.group != group) {
            continue;
        }
        for (const Address& address : upstream.addresses) {
            endpoints_.push_back(std::make_unique<PlainEndpoint>(
                static_cast<unsigned>(endpoints_.size()), upstream, address,
                turn.counters.upstream(counts.row_of(upstream.text(address)))));
        }
    }
}

void PlainUpstreams::submit(Inquiry& inquiry) noexcept {
    inquiry.asked_at = turn_.now;
    ask(inquiry);
}

/// Has the next address asked, now or as soon as there is a place.
void PlainUpstreams::ask(Inquiry& inquiry) noexcept {
    ask(inquiry, next_for(inquiry));
}

void PlainUpstreams::ask(Inquiry& inquiry, PlainEndpoint& endpoint) noexcept {
    PlainQuery* query = is_full() ? nullptr : queries_.create(turn_, *this, endpoint, inquiry);
    if (query == nullptr) {
        if (!inquiry.queued && inquiry.queries == nullptr) {
            waiting_.push_back(inquiry);
        }
        return;
    }
    query->next = std::exchange(inquiry.queries, query);
    ++inquiry.sends;
    inquiry.asked |= endpoint.bit();
    inquiry.sent_at = turn_.now;
    if (inquiry.sends > 1) {
        endpoint.counts().add(UpstreamCounter::resent);
    }
    patience_.arm(*query, turn_.now);
    query->start(); // may end it at once
}

/// One that was not asked yet goes first, then one that is well, or will be again soonest.
PlainEndpoint& PlainUpstreams::next_for(const Inquiry& inquiry) noexcept {
    const auto order = [&](const auto& endpoint) {
        return std::pair{is_asked(inquiry, *endpoint), std::max(endpoint->retry_at(), turn_.now)};
    };
    return **std::ranges::min_element(endpoints_, {}, order);
}

void PlainUpstreams::abandon(Inquiry& inquiry) noexcept {
    if (inquiry.queued) {
        waiting_.remove(inquiry);
    }
    while (inquiry.queries != nullptr) {
        end(*inquiry.queries);
    }
}

/// Closes a query, which leaves its inquiry.
void PlainUpstreams::end(PlainQuery& query) noexcept {
    PlainQuery** link = &query.inquiry().queries;
    while (*link != &query) {
        link = &(*link)->next;
    }
    *link = query.next;
    query.close();
    closed_.push_back(&query);
}

void PlainUpstreams::on_reply(PlainQuery& query, const Reply& reply) noexcept {
    Inquiry& inquiry = query.inquiry();
    PlainEndpoint& endpoint = query.endpoint();
    endpoint.counts().add(UpstreamCounter::answers);
    endpoint.counts().time(UpstreamTime::rtt).add(turn_.now - query.sent_at());
    if (endpoint.recover()) {
        log::write_limited(failure_log_, turn_.now, log::Level::notice, "upstream %s: works again",
                           endpoint.text().c_str());
        inquirer_.recovered();
    }
    if (reply.verdict == dns::ResponseVerdict::accepted && endpoint.edns() &&
        !reply.response.edns && inquiry.sealed.empty() &&
        reply.response.rcode == static_cast<std::uint16_t>(dns::Rcode::formerr)) {
        endpoint.set_edns(false); // and is asked as it understands
        end(query);
        ask(inquiry, endpoint);
        return;
    }
    if (may_be_bettered(query, reply)) {
        endpoint.counts().add(UpstreamCounter::failed_over);
        if (inquiry.held == nullptr) {
            inquiry.hold(reply);
        }
        end(query);
        if (has_unasked(inquiry)) {
            ask(inquiry);
        }
        return;
    }
    if (!is_readable(reply.verdict)) {
        endpoint.counts().add(UpstreamCounter::refused);
    }
    inquirer_.answered(inquiry, reply.message, reply.verdict, reply.response);
}

/// Whether another address has the question or is still to get it, and may have a better answer
/// (RFC 1034, section 5.3.3, step 4d); what an upstream means to say is not asked elsewhere.
bool PlainUpstreams::may_be_bettered(const PlainQuery& query, const Reply& reply) const noexcept {
    const Inquiry& inquiry = query.inquiry();
    if (!turn_.config.failover_on_error || !inquiry.sealed.empty()) {
        return false;
    }
    const dns::Failure failure =
        is_readable(reply.verdict) ? dns::failure_of(reply.response) : dns::Failure::other;
    if (failure == dns::Failure::none || failure == dns::Failure::meant) {
        return false;
    }
    return inquiry.queries != &query || query.next != nullptr || has_unasked(inquiry);
}

bool PlainUpstreams::has_unasked(const Inquiry& inquiry) const noexcept {
    return inquiry.sends < max_sends &&
           std::ranges::any_of(endpoints_, [&inquiry](const auto& endpoint) {
               return !is_asked(inquiry, *endpoint);
           });
}

void PlainUpstreams::on_error(PlainQuery& query, const char* what, int error) noexcept {
    failed(query.endpoint(), std::string{what} + ": " + std::system_category().message(error));
    Inquiry& inquiry = query.inquiry();
    end(query);
    go_on(inquiry);
}

/// One that was asked will not answer: the next one is asked, unless others still may.
void PlainUpstreams::go_on(Inquiry& inquiry) noexcept {
    if (inquiry.sends < max_sends) {
        ask(inquiry);
    } else if (inquiry.queries == nullptr && !settle(inquiry, inquirer_)) {
        inquirer_.failed(inquiry, excuse());
    }
}

void PlainUpstreams::failed(PlainEndpoint& endpoint, std::string reason) noexcept {
    endpoint.counts().add(UpstreamCounter::failed);
    const bool news = endpoint.fail(std::move(reason), turn_.now);
    log::write_limited(failure_log_, turn_.now, news ? log::Level::warning : log::Level::debug,
                       "upstream %s: %s", endpoint.text().c_str(), endpoint.reason().c_str());
}

bool PlainUpstreams::failing() const noexcept {
    return std::ranges::all_of(endpoints_,
                               [](const auto& endpoint) { return endpoint->failing(); });
}

NoAnswer PlainUpstreams::excuse() noexcept {
    const auto troubled =
        std::ranges::find_if(endpoints_, [](const auto& endpoint) { return endpoint->failing(); });
    if (troubled == endpoints_.end()) {
        return {.reason = FailureReason::timeout,
                .error = dns::ExtendedError::of(dns::ExtendedError::no_reachable_authority,
                                                "no answer from the upstream in time")};
    }
    excuse_ = (*troubled)->text() + ": " + (*troubled)->reason();
    return {.reason = FailureReason::unreachable,
            .error = dns::ExtendedError::of(dns::ExtendedError::network_error, excuse_)};
}

void PlainUpstreams::expire() noexcept {
    while (PlainQuery* query = patience_.pop(turn_.now)) {
        Inquiry& inquiry = query->inquiry();
        failed(query->endpoint(), "answers nothing");
        if (inquiry.sends < max_sends) {
            if (is_full()) {
                end(*query); // else it may answer yet
            }
            ask(inquiry);
        }
    }
}

void PlainUpstreams::soonest(TimePoint& earliest) noexcept {
    patience_.soonest(earliest);
    if (waiting_.first != nullptr && !is_full()) {
        earliest = turn_.now;
    }
}

void PlainUpstreams::flush() noexcept {
    while (waiting_.first != nullptr && !is_full()) {
        Inquiry& inquiry = *waiting_.first;
        waiting_.remove(inquiry);
        ask(inquiry);
    }
}

void PlainUpstreams::bury() noexcept {
    for (PlainQuery* query : closed_) {
        queries_.destroy(query);
    }
    closed_.clear();
}

void PlainUpstreams::close_all() noexcept {} // nobody there knows of us

} // namespace dotproxy
