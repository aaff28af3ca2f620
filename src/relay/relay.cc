// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/relay.hh"

#include "dns/answer.hh"
#include "dns/excerpt.hh"
#include "dns/local.hh"
#include "relay/counted_as.hh"
#include "relay/designations.hh"
#include "relay/gate.hh"
#include "upstream/groups.hh"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace dotproxy {

namespace {

// What a question costs of limits.client_misses beyond the one that every question does.
constexpr std::uint32_t price_of_nxdomain = 1;
constexpr std::uint32_t price_of_failure = 3;

dns::ExtendedError refusal(dns::ResponseVerdict verdict) noexcept {
    constexpr auto code = dns::ExtendedError::invalid_data;
    switch (verdict) {
    case dns::ResponseVerdict::truncated:
        return dns::ExtendedError::of(code, "truncated answer from upstream");
    case dns::ResponseVerdict::unrelated:
        return dns::ExtendedError::of(code, "answer does not match the question");
    default:
        return dns::ExtendedError::of(code, "malformed answer from upstream");
    }
}

} // namespace

Relay::Relay(Turn& turn, Gate& gate, Groups& groups, const Designations& designations,
             const CacheMemory* memory)
    : turn_{turn}, gate_{gate}, answers_{turn, gate}, groups_{groups},
      designations_{designations}, cache_{turn, memory}, patience_{Patience::client(turn.config)},
      stale_after_{std::min<Clock::duration>(turn.config.cache.stale_after, patience_.duration())},
      rest_of_patience_{patience_.duration() - stale_after_.duration()},
      addresses_{turn.config.limits.queries}, waiters_{turn.config.limits.queries},
      inquiries_{turn.config.limits.queries} {}

Relay::Heard Relay::ask(const Client& client, dns::Octets message) noexcept {
    const dns::QueryVerdict verdict = dns::parse_query(message, query_);
    if (verdict == dns::QueryVerdict::drop) {
        turn_.counters.add(Counter::dropped);
        if (!client.stream) {
            gate_.charge_unanswered(client.peer, client.standing, false);
        }
        return Heard::nothing;
    }
    if (query_.cookie.empty()) {
        return take(client, message, verdict, false);
    }
    const Cookies::Checked checked = gate_.recognize(client.peer, query_.cookie);
    query_.asker.cookie = checked.answer;
    Client shown = client;
    shown.verified = client.verified || checked.valid();
    return take(shown, message, verdict, checked.verdict == Cookies::Verdict::bad);
}

/// Takes what has been parsed. `bad_cookie`: it has one of a server, which is worth nothing.
Relay::Heard Relay::take(const Client& client, dns::Octets message, dns::QueryVerdict verdict,
                         bool bad_cookie) noexcept {
    if (!client.stream) {
        const bool gets_cookie = query_.asker.cookie.has_value() && !client.verified;
        switch (gate_.ask(client, query_.question.type, gets_cookie)) {
        case Gate::Admission::answer:
            break;
        case Gate::Admission::truncate:
            truncate(client, verdict);
            return Heard::question;
        case Gate::Admission::drop:
            return Heard::nothing;
        }
    }
    switch (verdict) {
    case dns::QueryVerdict::drop:
        break;
    case dns::QueryVerdict::cookie_only:
        give_cookie(client, bad_cookie ? dns::Rcode::badcookie : dns::Rcode::noerror);
        return Heard::question;
    case dns::QueryVerdict::format_error:
        refuse(client, dns::Rcode::formerr);
        return Heard::nonsense;
    case dns::QueryVerdict::not_implemented:
        refuse(client, dns::Rcode::notimp);
        return Heard::nonsense;
    case dns::QueryVerdict::bad_version:
        refuse(client, dns::Rcode::badvers);
        return Heard::question;
    case dns::QueryVerdict::forward:
        route();
        turn_.counters.add(query_type(query_.question.type));
        if (!answer_locally(client) && !answer_from_cache(client)) {
            forward(client, {});
        }
        return Heard::question;
    case dns::QueryVerdict::sealed:
        route();
        turn_.counters.add(query_type(query_.question.type));
        expired_ = false;
        if (!answer_locally(client)) {
            forward(client, message);
        }
        return Heard::question;
    }
    return Heard::nothing;
}

/// Says nothing but the cookie, which stands in every OPT (RFC 7873, sections 5.2.3 and 5.4).
void Relay::give_cookie(const Client& client, dns::Rcode rcode) noexcept {
    answers_.give_failure(client, question(), query_.asker, rcode, std::nullopt, Outcome::local);
}

/// Answers so little that nobody is harmed who has not asked.
void Relay::truncate(const Client& client, dns::QueryVerdict verdict) noexcept {
    if (verdict != dns::QueryVerdict::forward && verdict != dns::QueryVerdict::sealed &&
        verdict != dns::QueryVerdict::cookie_only) {
        // Of what is wrong with it there is as little to say. It has been counted.
        answers_.give_failure(client, question(), query_.asker, dns::Rcode::formerr, std::nullopt,
                              Outcome::local);
        return;
    }
    if (query_.asker.cookie && !client.verified) {
        give_cookie(client, dns::Rcode::badcookie);
        return;
    }
    answers_.give_truncated(client, query_.question, query_.asker);
}

void Relay::decline(const Client& client, dns::Octets message) noexcept {
    const dns::QueryVerdict verdict = dns::parse_query(message, query_);
    if (verdict != dns::QueryVerdict::forward && verdict != dns::QueryVerdict::sealed) {
        turn_.counters.add(Counter::access_dropped);
        return;
    }
    turn_.counters.add(Counter::access_refused);
    if (!query_.cookie.empty()) {
        query_.asker.cookie = gate_.recognize(client.peer, query_.cookie).answer;
    }
    answers_.give_failure(
        client, &query_.question, query_.asker, dns::Rcode::refused,
        dns::ExtendedError::of(dns::ExtendedError::prohibited, "your network may not ask here"),
        Outcome::local);
}

void Relay::refuse(const Client& client, dns::Rcode rcode) noexcept {
    turn_.counters.add(Counter::format_errors);
    answers_.give_failure(client, question(), query_.asker, rcode, std::nullopt, Outcome::local);
}

/// Finds out who is to be asked. A DS belongs to the zone above (RFC 4035, section 3.1.4.1):
/// whoever is asked about that one can show that a zone of one's own has none. Of the root
/// everybody knows that it has no such zone, and who believes that looks for nothing below (RFC
/// 8198).
void Relay::route() noexcept {
    dns::Octets name = query_.question.name.view();
    const std::size_t parent = name.front() + 1U;
    if (query_.question.type == dns::type::ds && parent + 1 < name.size()) { // not the root's
        name = name.subspan(parent);
    }
    const auto group = turn_.config.routes.find(name);
    routed_ = group.has_value();
    query_.question.group = group.value_or(0);
}

bool Relay::answer_locally(const Client& client) noexcept {
    if (const auto ways = designations_.find(client, query_.question)) {
        turn_.counters.add(Counter::local_answers);
        answers_.give(client, query_.question, query_.asker, *ways, Outcome::local);
        return true;
    }
    const dns::LocalZones zones{.served = turn_.config.local_zones && !routed_,
                                .except = turn_.config.local_zones_except};
    auto found = dns::find_local(query_.question, zones);
    if (!found) {
        return false;
    }
    // What leads to a name of one's own exists, as that does (RFC 8020).
    found->exists = found->exists || turn_.config.routes.lead_below(query_.question.name.view());
    turn_.counters.add(Counter::local_answers);
    answers_.give_local(client, *found, query_.question, query_.asker);
    return true;
}

bool Relay::answer_from_cache(const Client& client) noexcept {
    const AnswerCache::Known known =
        cache_.look_up(query_.question, groups_.of(query_.question).failing());
    expired_ = known.expired;
    if (!known.answer || (known.tried_again && under_way(query_.question))) {
        return false;
    }
    if (known.outcome == Outcome::failed) {
        turn_.counters.add(FailureReason::cached);
    }
    answers_.give(client, query_.question, query_.asker, *known.answer, known.outcome);
    if (known.refresh_until != 0) {
        refresh(client, known.refresh_until);
    }
    return true;
}

bool Relay::under_way(const dns::Question& question) noexcept {
    return inquiries_.find(question, inquiries_.hash(question)) != nullptr;
}

void Relay::forward(const Client& client, dns::Octets sealed) noexcept {
    Waiter* waiter = enlist(query_.question, sealed);
    if (waiter == nullptr) {
        turn_away(client, {.reason = FailureReason::overload,
                           .error = dns::ExtendedError::of(dns::ExtendedError::other,
                                                           "too many questions at once")});
        return;
    }
    waiter->client = client;
    waiter->asker = query_.asker;
    if (Waiter* const first = repeated(*waiter)) {
        first->client.asked_at = client.asked_at; // who asks again waits from now on
        turn_.counters.add(Counter::repeated);
        end_waiter(*waiter);
        return;
    }
    Awaited& inquiry = *waiter->inquiry;
    const bool alone = inquiry.waiter_count == 1;
    if (const auto why = objection(*waiter)) {
        end_waiter(*waiter);
        if (alone) {
            inquiries_.destroy(inquiry);
        }
        turn_away(client, *why);
        return;
    }
    (expired_ ? stale_after_ : patience_).arm(*waiter, turn_.now);
    if (alone) {
        groups_.of(inquiry.question).submit(inquiry);
    } else {
        turn_.counters.add(Counter::joined);
    }
}

/// Asks the question at hand again for the cache alone, on this client's account. Where there is no
/// room, or the client has used up what it may have, somebody else's question does it.
void Relay::refresh(const Client& client, std::uint64_t until) noexcept {
    Waiter* waiter = enlist(query_.question, {});
    if (waiter == nullptr) {
        cache_.release(query_.question, until);
        return;
    }
    ++refreshing_;
    Awaited& inquiry = *waiter->inquiry;
    if (inquiry.waiter_count == 1 && !gate_.refresh(client)) {
        cache_.release(query_.question, until);
        end_waiter(*waiter);
        inquiries_.destroy(inquiry);
        return;
    }
    inquiry.refresh_until = until;
    patience_.arm(*waiter, turn_.now);
    if (inquiry.waiter_count == 1) {
        turn_.counters.add(Counter::cache_refreshes);
        groups_.of(inquiry.question).submit(inquiry);
    }
}

void Relay::answered(Inquiry& asked, dns::Octets message, dns::ResponseVerdict verdict,
                     const dns::Response& response) noexcept {
    auto& inquiry = static_cast<Awaited&>(asked); // nobody else submits any
    if (verdict != dns::ResponseVerdict::accepted) {
        if (verdict == dns::ResponseVerdict::mixed) {
            pass_on_excerpt(inquiry, message, response);
        } else {
            failed(inquiry, {.reason = FailureReason::unusable_answer, .error = refusal(verdict)});
        }
        return;
    }
    if (inquiry.sealed.empty()) {
        pass_on(inquiry, dns::answer_of(message, response));
    } else {
        answers_.give_sealed(inquiry.waiters->client, inquiry.question, inquiry.waiters->asker,
                             message);
        end_waiter(*inquiry.waiters);
        end(inquiry);
    }
}

void Relay::pass_on(Awaited& inquiry, const dns::Answer& answer) noexcept {
    if (answer.rcode == static_cast<std::uint16_t>(dns::Rcode::nxdomain)) {
        charge(inquiry, price_of_nxdomain);
    } else if (answer.rcode == static_cast<std::uint16_t>(dns::Rcode::servfail)) {
        charge(inquiry, price_of_failure);
    }
    const auto instead = cache_.learn(inquiry.question, answer, inquiry.refresh_until);
    while (inquiry.waiters != nullptr) {
        const Waiter& waiter = *inquiry.waiters;
        if (instead) {
            answers_.give_instead(waiter.client, inquiry.question, waiter.asker, *instead);
        } else {
            answers_.give(waiter.client, inquiry.question, waiter.asker, answer, Outcome::miss);
        }
        end_waiter(*inquiry.waiters);
    }
    end(inquiry);
}

// Apart from answered(), since hardly any answer needs the room.
[[gnu::noinline]] void Relay::pass_on_excerpt(Awaited& inquiry, dns::Octets message,
                                              const dns::Response& response) noexcept {
    std::array<std::uint8_t, dns::max_message_size> room; // NOLINT(*-member-init): written first
    if (const auto answer = dns::excerpt_of(message, response, inquiry.question, room)) {
        pass_on(inquiry, *answer);
    } else {
        failed(inquiry, {.reason = FailureReason::unusable_answer,
                         .error = refusal(dns::ResponseVerdict::unrelated)});
    }
}

void Relay::failed(Inquiry& asked, const NoAnswer& why) noexcept {
    auto& inquiry = static_cast<Awaited&>(asked);
    // Of the name, and no trouble of the upstreams' or of ours.
    if (!groups_.of(inquiry.question).failing() &&
        (why.reason == FailureReason::timeout || why.reason == FailureReason::unusable_answer)) {
        charge(inquiry, price_of_failure);
    }
    const std::optional<dns::Answer> instead = make_up(inquiry, why.error);
    while (inquiry.waiters != nullptr) {
        give_up(*inquiry.waiters, instead, why);
    }
    end(inquiry);
}

/// Has who asked first pay more for what many names that are not, or zones that do not answer, are
/// used for (limits 16).
void Relay::charge(const Awaited& inquiry, std::uint32_t more) noexcept {
    const Waiter* first = nullptr;
    for (const Waiter* one = inquiry.waiters; one != nullptr; one = one->next) {
        first = one->client.front != nullptr ? one : first;
    }
    if (first != nullptr) {
        gate_.charge_forwarded(first->client, more);
    }
}

void Relay::expire() noexcept {
    while (Waiter* waiter = stale_after_.pop(turn_.now)) {
        go_stale(*waiter);
    }
    for (auto* queue : {&patience_, &rest_of_patience_}) {
        while (Waiter* waiter = queue->pop(turn_.now)) {
            time_out(*waiter);
        }
    }
}

void Relay::time_out(Waiter& waiter) noexcept {
    Awaited& inquiry = *waiter.inquiry;
    Group& upstreams = groups_.of(inquiry.question);
    if (settle(inquiry, *this)) {
        return; // for all who wait: those who came later would hardly hear more
    }
    const NoAnswer why = upstreams.excuse();
    if (inquiry.waiter_count == 1) {
        failed(inquiry, why);
        return;
    }
    give_up(waiter, make_up(inquiry, why.error), why);
    if (inquiry.in_flight() && turn_.now - inquiry.asked_at >= patience_.duration()) {
        // An upstream that lives has lost it. Who joined since would wait for that in vain, as
        // would all who join them.
        upstreams.renew(inquiry);
    }
}

std::optional<dns::Answer> Relay::make_up(const Awaited& inquiry,
                                          const dns::ExtendedError& error) noexcept {
    return inquiry.sealed.empty() ? cache_.make_up(inquiry.question, error) : std::nullopt;
}

/// The upstream takes its time: gives the expired answer, and lets the inquiry go on for the cache.
void Relay::go_stale(Waiter& waiter) noexcept {
    const Awaited& inquiry = *waiter.inquiry;
    const NoAnswer why = groups_.of(inquiry.question).excuse();
    if (const auto instead = make_up(inquiry, why.error)) {
        answers_.give_instead(waiter.client, inquiry.question, waiter.asker, *instead);
        if (inquiry.waiter_count > 1) { // one is enough for that
            end_waiter(waiter);
            return;
        }
        waiter.client = {};
        ++refreshing_;
    }
    rest_of_patience_.arm(waiter, turn_.now);
}

void Relay::fail_all() noexcept {
    waiters_.for_each([this](Waiter& waiter) {
        Awaited& inquiry = *waiter.inquiry;
        // Not make_up(): that this worker ends is no failure for the others to know.
        give_up(waiter, inquiry.sealed.empty() ? cache_.stand_in(inquiry.question) : std::nullopt,
                {.reason = FailureReason::draining,
                 .error = dns::ExtendedError::of(dns::ExtendedError::not_ready, "shutting down")});
        if (inquiry.waiters == nullptr) {
            end(inquiry);
        }
    });
}

/// Ends a wait in vain: with what there is `instead`, or SERVFAIL.
void Relay::give_up(Waiter& waiter, const std::optional<dns::Answer>& instead,
                    const NoAnswer& why) noexcept {
    if (instead) {
        answers_.give_instead(waiter.client, waiter.inquiry->question, waiter.asker, *instead);
    } else if (waiter.client.front != nullptr) {
        answers_.give_no_answer(waiter.client, waiter.inquiry->question, waiter.asker, why);
    }
    end_waiter(waiter);
}

void Relay::end_waiter(Waiter& waiter) noexcept {
    if (waiter.client.front == nullptr) {
        --refreshing_;
    }
    anybodys_ -= waiter.may_be_anybodys ? 1 : 0;
    waiter.inquiry->remove(waiter);
    waiters_.destroy(&waiter);
    turn_.counters.set(Counter::queries_waiting, waiters_.size());
}

void Relay::end(Awaited& inquiry) noexcept {
    groups_.of(inquiry.question).abandon(inquiry);
    inquiries_.destroy(inquiry);
}

} // namespace dotproxy
