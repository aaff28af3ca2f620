// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/plain_upstreams.hh"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <tuple>
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

/// Whether it is for want of something here, which says nothing of the server.
bool is_ours(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
           error == EMSGSIZE;
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
      overdue_{Patience::client(turn.config)}, failure_log_{lines_at_once, 10s} {
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
    waiting_.push_back(inquiry);
}

bool PlainUpstreams::is_full() const noexcept {
    return open() >= most_plain_queries || queries_.size() >= most_places;
}

/// Who has waited longest in vain leaves, since nothing may ever come for it.
void PlainUpstreams::make_room() noexcept {
    PlainQuery* oldest = open() >= most_plain_queries ? overdue_.pop(TimePoint::max()) : nullptr;
    if (oldest != nullptr) {
        Inquiry& inquiry = oldest->inquiry();
        end(*oldest);
        conclude(inquiry);
    }
}

/// Asks one that fails, besides one that is well, where it is time to see how it fares.
void PlainUpstreams::try_failing(Inquiry& inquiry) noexcept {
    const auto due = std::ranges::find_if(endpoints_, [this](const auto& endpoint) {
        return endpoint->failing() && endpoint->retry_at() <= turn_.now;
    });
    if (due != endpoints_.end() && !failing() && inquiry.sends + 1U < max_sends) {
        static_cast<void>(send(inquiry, **due, (*due)->edns(turn_.now)));
    }
}

/// Has an address asked that was not yet, or if all were, one of them again; now or as soon as
/// there is a place. The inquiry may be over in the call.
void PlainUpstreams::ask_next(Inquiry& inquiry) noexcept {
    PlainEndpoint& endpoint = next_for(inquiry);
    ask(inquiry, endpoint, endpoint.edns(turn_.now));
}

/// Has an address asked, now or as soon as there is a place. The inquiry may be over in the call.
void PlainUpstreams::ask(Inquiry& inquiry, PlainEndpoint& endpoint, bool edns) noexcept {
    switch (send(inquiry, endpoint, edns)) {
    case Sent::yes:
        break;
    case Sent::failed:
        go_on(inquiry); // with one send less
        break;
    case Sent::no_place:
        wait(inquiry);
        break;
    }
}

/// Has it wait for a place, unless somebody may answer it anyway.
void PlainUpstreams::wait(Inquiry& inquiry) noexcept {
    if (!inquiry.in_flight() && !inquiry.queued) {
        waiting_.push_back(inquiry);
    }
}

PlainUpstreams::Sent PlainUpstreams::send(Inquiry& inquiry, PlainEndpoint& endpoint,
                                          bool edns) noexcept {
    PlainQuery* query =
        is_full() ? nullptr : queries_.create(turn_, *this, endpoint, inquiry, edns);
    if (query == nullptr) {
        return Sent::no_place;
    }
    query->next = std::exchange(inquiry.queries, query);
    ++inquiry.sends;
    inquiry.asked |= endpoint.bit();
    inquiry.sent_at = turn_.now;
    if (inquiry.sends > 1) {
        endpoint.counts().add(UpstreamCounter::resent);
    }
    endpoint.put_off(turn_.now);
    patience_.arm(*query, turn_.now);
    if (const PlainQuery::Fault fault = query->start(); fault.what != nullptr) {
        give_up(*query, fault);
        return Sent::failed;
    }
    return Sent::yes;
}

/// One that is well goes before one that fails, one that was not asked yet before one that was.
PlainEndpoint& PlainUpstreams::next_for(const Inquiry& inquiry) noexcept {
    const auto order = [&](const auto& endpoint) {
        return std::tuple{is_asked(inquiry, *endpoint), endpoint->failing(),
                          std::max(endpoint->retry_at(), turn_.now)};
    };
    return **std::ranges::min_element(endpoints_, {}, order);
}

void PlainUpstreams::abandon(Inquiry& inquiry) noexcept {
    if (inquiry.queued) {
        waiting_.remove(inquiry);
    }
    while (inquiry.queries != nullptr) {
        PlainQuery& query = *inquiry.queries;
        if (query.endpoint().failing() && !query.overdue && !query.over_tcp()) {
            inquiry.queries = query.next;
            query.leave(); // others answer sooner; whether it does is to be seen
        } else {
            end(query);
        }
    }
}

/// Closes a query, which leaves its inquiry.
void PlainUpstreams::end(PlainQuery& query) noexcept {
    if (!query.alone()) {
        PlainQuery** link = &query.inquiry().queries;
        while (*link != &query) {
            link = &(*link)->next;
        }
        *link = query.next;
    }
    query.close();
    closed_.push_back(&query);
}

/// Its server lives.
void PlainUpstreams::hear(PlainQuery& query) noexcept {
    PlainEndpoint& endpoint = query.endpoint();
    endpoint.counts().add(UpstreamCounter::answers);
    endpoint.counts().time(UpstreamTime::rtt).add(turn_.now - query.sent_at());
    if (endpoint.recover()) {
        log::write_limited(failure_log_, turn_.now, log::Level::notice, "upstream %s: works again",
                           endpoint.text().c_str());
        inquirer_.recovered();
    }
}

void PlainUpstreams::on_sign_of_life(PlainQuery& query) noexcept {
    hear(query);
    end(query);
}

void PlainUpstreams::on_reply(PlainQuery& query, const Reply& reply) noexcept {
    Inquiry& inquiry = query.inquiry();
    PlainEndpoint& endpoint = query.endpoint();
    hear(query);
    if (ask_without_edns(query, reply)) {
        return;
    }
    if (may_be_bettered(query, reply)) {
        endpoint.counts().add(UpstreamCounter::failed_over);
        if (inquiry.held == nullptr) {
            inquiry.hold(reply);
        }
        end(query);
        go_on(inquiry);
        return;
    }
    if (!is_readable(reply.verdict)) {
        endpoint.counts().add(UpstreamCounter::refused);
    }
    inquirer_.answered(inquiry, reply.message, reply.verdict, reply.response);
}

/// A server from before EDNS says that it does not understand, and is asked as it does (RFC 6891,
/// section 6.2.2). What it is known by is that this helps.
bool PlainUpstreams::ask_without_edns(PlainQuery& query, const Reply& reply) noexcept {
    Inquiry& inquiry = query.inquiry();
    PlainEndpoint& endpoint = query.endpoint();
    if (!is_readable(reply.verdict) || !inquiry.sealed.empty()) {
        return false;
    }
    const auto rcode = static_cast<dns::Rcode>(reply.response.rcode);
    if (!query.edns()) {
        if ((rcode == dns::Rcode::noerror || rcode == dns::Rcode::nxdomain) &&
            endpoint.edns(turn_.now)) {
            endpoint.note_no_edns(turn_.now);
        }
        return false;
    }
    const bool refuses = rcode == dns::Rcode::formerr || rcode == dns::Rcode::notimp;
    if (!refuses || reply.response.edns || inquiry.sends >= max_sends) {
        return false;
    }
    end(query);
    ask(inquiry, endpoint, false);
    return true;
}

void PlainUpstreams::on_cut(PlainQuery& query) noexcept {
    Inquiry& inquiry = query.inquiry();
    if (inquiry.sends >= max_sends) {
        end(query);
        go_on(inquiry);
        return;
    }
    ++inquiry.sends;
    query.overdue = false;
    patience_.arm(query, turn_.now);
    if (const PlainQuery::Fault fault = query.go_over_tcp(); fault.what != nullptr) {
        on_fault(query, fault);
    }
}

/// Whether another address has the question, or is still to get it, and may have a better answer
/// (RFC 1034, section 5.3.3, step 4d); what an upstream means to say is not asked elsewhere.
bool PlainUpstreams::may_be_bettered(const PlainQuery& query, const Reply& reply) const noexcept {
    const Inquiry& inquiry = query.inquiry();
    if (!turn_.config.failover_on_error || !inquiry.sealed.empty()) {
        return false;
    }
    const dns::Failure failure = failure_of(reply);
    if (failure == dns::Failure::none || failure == dns::Failure::meant) {
        return false;
    }
    return awaits(inquiry, &query) || has_unasked(inquiry);
}

bool PlainUpstreams::has_unasked(const Inquiry& inquiry) const noexcept {
    return inquiry.sends < max_sends &&
           std::ranges::any_of(endpoints_, [&inquiry](const auto& endpoint) {
               return !is_asked(inquiry, *endpoint);
           });
}

void PlainUpstreams::on_fault(PlainQuery& query, const PlainQuery::Fault& fault) noexcept {
    Inquiry* const inquiry = query.alone() ? nullptr : &query.inquiry();
    give_up(query, fault);
    if (inquiry != nullptr) {
        go_on(*inquiry);
    }
}

void PlainUpstreams::give_up(PlainQuery& query, const PlainQuery::Fault& fault) noexcept {
    if (!is_ours(fault.error)) {
        failed(query.endpoint(),
               std::string{fault.what} + ": " + std::system_category().message(fault.error));
    }
    end(query);
}

/// Whether something may come soon for an inquiry, from others than `but`.
bool PlainUpstreams::awaits(const Inquiry& inquiry, const PlainQuery* but) noexcept {
    for (const PlainQuery* one = inquiry.queries; one != nullptr; one = one->next) {
        if (one != but && !one->overdue) {
            return true;
        }
    }
    return false;
}

/// What becomes of an inquiry that one who was asked does not answer: the next one is asked; if
/// there is none, one that was silent again, since a datagram may be lost. Who has shown that it
/// does not listen is not. The inquiry may be over in the call.
void PlainUpstreams::go_on(Inquiry& inquiry) noexcept {
    if (has_unasked(inquiry)) {
        ask_next(inquiry);
    } else if (awaits(inquiry, nullptr)) {
        return;
    } else if (inquiry.in_flight() && inquiry.sends < max_sends) {
        PlainEndpoint& endpoint = inquiry.queries->endpoint();
        ask(inquiry, endpoint, endpoint.edns(turn_.now));
    } else if (!settle(inquiry, inquirer_)) {
        conclude(inquiry);
    }
}

/// Ends an inquiry that nobody will answer any more.
void PlainUpstreams::conclude(Inquiry& inquiry) noexcept {
    if (!inquiry.in_flight() && !inquiry.queued && !settle(inquiry, inquirer_)) {
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
    const auto troubled = std::ranges::find_if(
        endpoints_, [](const auto& endpoint) { return endpoint->in_trouble(); });
    if (troubled == endpoints_.end()) {
        return no_answer_in_time();
    }
    excuse_ = (*troubled)->text() + ": " + (*troubled)->reason();
    return {.reason = FailureReason::unreachable,
            .error = dns::ExtendedError::of(dns::ExtendedError::network_error, excuse_)};
}

void PlainUpstreams::expire() noexcept {
    while (PlainQuery* query = patience_.pop(turn_.now)) {
        failed(query->endpoint(), "answers nothing");
        if (query->alone()) {
            end(*query);
        } else {
            overdue(*query);
        }
    }
    while (PlainQuery* query = overdue_.pop(turn_.now)) {
        Inquiry& inquiry = query->inquiry();
        end(*query);
        conclude(inquiry);
    }
}

/// Nothing has come for a while. It may come yet, but where there is no place for all, this one
/// goes to who waits for one.
void PlainUpstreams::overdue(PlainQuery& query) noexcept {
    Inquiry& inquiry = query.inquiry();
    if (inquiry.sends < max_sends && is_full()) {
        end(query);
        wait(inquiry);
        return;
    }
    query.overdue = true;
    overdue_.arm(query, turn_.now);
    go_on(inquiry);
}

void PlainUpstreams::soonest(TimePoint& earliest) noexcept {
    patience_.soonest(earliest);
    overdue_.soonest(earliest);
    if (waiting_.first != nullptr && open() < most_plain_queries) {
        earliest = turn_.now;
    }
}

void PlainUpstreams::flush() noexcept {
    while (waiting_.first != nullptr) {
        make_room();
        if (is_full()) {
            return;
        }
        Inquiry& inquiry = *waiting_.first;
        waiting_.remove(inquiry);
        try_failing(inquiry);
        ask_next(inquiry);
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
