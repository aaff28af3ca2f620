// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "proxy/relay.hh"

#include "dns/answer.hh"
#include "dns/local.hh"
#include "proxy/upstreams.hh"

#include <algorithm>
#include <string_view>

namespace dotproxy {

namespace {

// So many may wait for one question (C96); a stub asks again after a while, and each time counts.
constexpr std::uint32_t max_waiters = 4096;

dns::ExtendedError extended(std::uint16_t code, std::string_view text) noexcept {
    return {.code = code,
            .text = {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}};
}

dns::ExtendedError refusal(dns::ResponseVerdict verdict) noexcept {
    switch (verdict) {
    case dns::ResponseVerdict::truncated:
        return extended(dns::ExtendedError::invalid_data, "truncated answer from upstream");
    case dns::ResponseVerdict::unrelated:
        return extended(dns::ExtendedError::invalid_data, "answer does not match the question");
    default:
        return extended(dns::ExtendedError::invalid_data, "malformed answer from upstream");
    }
}

} // namespace

Relay::Relay(Turn& turn, Upstreams& upstreams)
    : turn_{turn}, upstreams_{upstreams}, patience_{Patience::client(turn.config)},
      waiters_{turn.config.limits.queries}, inquiries_{turn.config.limits.queries} {}

bool Relay::ask(const Client& client, dns::Octets message) noexcept {
    switch (dns::parse_query(message, query_)) {
    case dns::QueryVerdict::drop:
        turn_.counters.add(Counter::dropped);
        return false;
    case dns::QueryVerdict::format_error:
        turn_.counters.add(Counter::format_errors);
        fail_query(client, query_, dns::Rcode::formerr, std::nullopt);
        return true;
    case dns::QueryVerdict::not_implemented:
        turn_.counters.add(Counter::format_errors);
        fail_query(client, query_, dns::Rcode::notimp, std::nullopt);
        return true;
    case dns::QueryVerdict::bad_version:
        turn_.counters.add(Counter::format_errors);
        fail_query(client, query_, dns::Rcode::badvers, std::nullopt);
        return true;
    case dns::QueryVerdict::forward:
        if (!answer_locally(client, query_)) {
            forward(client, query_, {});
        }
        return true;
    case dns::QueryVerdict::sealed:
        if (!answer_locally(client, query_)) {
            forward(client, query_, message);
        }
        return true;
    }
    return false;
}

void Relay::fail_query(const Client& client, const dns::ParsedQuery& query, dns::Rcode rcode,
                       const std::optional<dns::ExtendedError>& error) noexcept {
    const dns::MutableOctets room =
        client.front->begin_answer(client, dns::max_query_size + dns::answer_overhead);
    if (room.empty()) {
        return;
    }
    dns::Channel channel = client.front->channel(query.asker);
    channel.limit = std::min(channel.limit, room.size());
    const dns::Question* question = query.question_end != 0 ? &query.question : nullptr;
    client.front->end_answer(
        client, dns::write_failure(rcode, error, question, query.asker, channel, room));
}

bool Relay::answer_locally(const Client& client, const dns::ParsedQuery& query) noexcept {
    std::array<std::uint8_t, dns::max_udp_answer_size> answer; // NOLINT(*-member-init)
    dns::Channel channel = client.front->channel(query.asker);
    channel.limit = std::min(channel.limit, answer.size());
    const std::size_t size =
        dns::answer_locally(query.question, query.asker, turn_.config.local_zones, channel, answer);
    if (size == 0) {
        return false;
    }
    turn_.counters.add(Counter::local_answers);
    const dns::MutableOctets room = client.front->begin_answer(client, size);
    if (!room.empty()) {
        std::copy_n(answer.begin(), size, room.begin());
        client.front->end_answer(client, size);
    }
    return true;
}

void Relay::forward(const Client& client, const dns::ParsedQuery& query,
                    dns::Octets sealed) noexcept {
    const std::uint64_t hash = sealed.empty() ? inquiries_.hash(query.question) : 0;
    Inquiry* inquiry = sealed.empty() ? inquiries_.find(query.question, hash) : nullptr;
    const bool fresh = inquiry == nullptr;
    Waiter* waiter = nullptr;
    if (fresh || inquiry->waiter_count < max_waiters) {
        waiter = waiters_.create();
    }
    if (waiter != nullptr && fresh) {
        inquiry = sealed.empty() ? inquiries_.create(query.question, hash)
                                 : inquiries_.create_sealed(query.question, sealed);
        if (inquiry == nullptr) {
            waiters_.destroy(waiter);
            waiter = nullptr;
        }
    }
    if (waiter == nullptr) {
        turn_.counters.add(Counter::failures);
        turn_.counters.add(Counter::overload);
        fail_query(client, query, dns::Rcode::servfail,
                   extended(dns::ExtendedError::other, "too many questions at once"));
        return;
    }
    waiter->client = client;
    waiter->asker = query.asker;
    inquiry->add(*waiter);
    patience_.arm(*waiter, turn_.now);
    turn_.counters.set(Counter::queries_waiting, waiters_.size());
    if (fresh) {
        upstreams_.submit(*inquiry);
    } else {
        turn_.counters.add(Counter::joined);
    }
}

void Relay::answered(Inquiry& inquiry, dns::Octets message, dns::ResponseVerdict verdict,
                     const dns::Response& response) noexcept {
    if (verdict != dns::ResponseVerdict::accepted) {
        turn_.counters.add(Counter::upstream_refused);
        failed(inquiry, refusal(verdict));
        return;
    }
    const dns::Answer answer = dns::answer_of(message, response);
    while (inquiry.waiters != nullptr) {
        Waiter& waiter = *inquiry.waiters;
        Front& front = *waiter.client.front;
        dns::Channel channel = front.channel(waiter.asker);
        const dns::MutableOctets room = front.begin_answer(
            waiter.client, std::min(channel.limit, message.size() + dns::answer_overhead));
        if (!room.empty()) {
            channel.limit = std::min(channel.limit, room.size());
            const std::size_t size =
                inquiry.sealed.empty()
                    ? dns::write_answer(answer, inquiry.question, waiter.asker, channel, room)
                    : dns::write_sealed(message, inquiry.question, waiter.asker, channel, room);
            count_truncated(room.first(size));
            front.end_answer(waiter.client, size);
        }
        end_waiter(waiter);
    }
    end(inquiry);
}

void Relay::failed(Inquiry& inquiry, const dns::ExtendedError& error) noexcept {
    while (inquiry.waiters != nullptr) {
        fail_waiter(*inquiry.waiters, error);
    }
    end(inquiry);
}

void Relay::expire() noexcept {
    while (Waiter* waiter = patience_.pop(turn_.now)) {
        Inquiry& inquiry = *waiter->inquiry;
        fail_waiter(*waiter, upstreams_.excuse());
        if (inquiry.waiters == nullptr) {
            end(inquiry);
        }
    }
}

void Relay::fail_all() noexcept {
    waiters_.for_each([this](Waiter& waiter) {
        Inquiry& inquiry = *waiter.inquiry;
        fail_waiter(waiter, extended(dns::ExtendedError::not_ready, "shutting down"));
        if (inquiry.waiters == nullptr) {
            end(inquiry);
        }
    });
}

void Relay::fail_waiter(Waiter& waiter, const dns::ExtendedError& error) noexcept {
    turn_.counters.add(Counter::failures);
    Front& front = *waiter.client.front;
    const dns::MutableOctets room =
        front.begin_answer(waiter.client, dns::max_query_size + dns::answer_overhead);
    if (!room.empty()) {
        dns::Channel channel = front.channel(waiter.asker);
        channel.limit = std::min(channel.limit, room.size());
        front.end_answer(waiter.client,
                         dns::write_failure(dns::Rcode::servfail, error, &waiter.inquiry->question,
                                            waiter.asker, channel, room));
    }
    end_waiter(waiter);
}

void Relay::end_waiter(Waiter& waiter) noexcept {
    waiter.inquiry->remove(waiter);
    waiters_.destroy(&waiter);
    turn_.counters.set(Counter::queries_waiting, waiters_.size());
}

void Relay::end(Inquiry& inquiry) noexcept {
    upstreams_.abandon(inquiry);
    inquiries_.destroy(inquiry);
}

void Relay::count_truncated(dns::Octets answer) noexcept {
    if ((dns::flags(answer) & dns::flag::truncated) != 0) {
        turn_.counters.add(Counter::truncated);
    }
}

} // namespace dotproxy
