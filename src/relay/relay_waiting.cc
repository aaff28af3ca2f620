// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Who may wait for an answer: not everybody, when many do.

#include "relay/gate.hh"
#include "relay/relay.hh"

#include <algorithm>

namespace dotproxy {

namespace {

// So many may wait for one question (C96); a stub asks again after a while, and each time counts.
constexpr std::uint32_t max_waiters = 4096;
// Of an address beyond "local" that may be another's: what waits for it shall not come all at once
// (DNSBomb; limits 34).
constexpr std::uint32_t max_far_waiters = 1000;
constexpr unsigned looked_at_again = 64; // of those who wait, whether it is the same question again
// With fewer who wait, it does not matter whose they are; and each address may have so many.
constexpr std::uint32_t fair_from = 64;

} // namespace

/// A waiter for this question, whose inquiry is new if it waits alone. nullptr: there is no room.
Waiter* Relay::enlist(const dns::Question& question, dns::Octets sealed) noexcept {
    const std::uint64_t hash = sealed.empty() ? inquiries_.hash(question) : 0;
    Awaited* inquiry = sealed.empty() ? inquiries_.find(question, hash) : nullptr;
    if (inquiry != nullptr && inquiry->waiter_count >= max_waiters) {
        return nullptr;
    }
    Waiter* waiter = waiters_.create();
    if (waiter == nullptr) {
        return nullptr;
    }
    if (inquiry == nullptr) {
        inquiry = sealed.empty() ? inquiries_.create(question, hash)
                                 : inquiries_.create_sealed(question, sealed);
    }
    if (inquiry == nullptr) {
        waiters_.destroy(waiter);
        return nullptr;
    }
    inquiry->add(*waiter);
    turn_.counters.set(Counter::queries_waiting, waiters_.size());
    return waiter;
}

/// Why one that is new shall not wait; it has its place when it shall.
std::optional<NoAnswer> Relay::objection(Waiter& waiter) noexcept {
    const Client& client = waiter.client;
    waiter.place = place_for(client);
    const bool may_be_anybody = !client.verified && !client.standing.near;
    // Whoever sends from addresses of others can have as many of those as it likes: all of them
    // together have half of the room, and who shows that it is there has the rest.
    const bool too_many_of_anybody =
        may_be_anybody && ((waiter.place && waiter.place.count() > max_far_waiters) ||
                           anybodys_ >= waiters_.capacity() / 2);
    if (crowds(waiter) || too_many_of_anybody) {
        return NoAnswer{.reason = FailureReason::crowding,
                        .error = dns::ExtendedError::of(dns::ExtendedError::other,
                                                        "too many questions from your address")};
    }
    if (waiter.inquiry->waiter_count == 1 && !gate_.forward(client)) {
        return NoAnswer{.reason = FailureReason::limited,
                        .error = dns::ExtendedError::of(dns::ExtendedError::other,
                                                        "too many questions from your network")};
    }
    waiter.may_be_anybodys = may_be_anybody;
    anybodys_ += may_be_anybody ? 1 : 0;
    return std::nullopt;
}

/// Who waits for this already with the same ID, over UDP: one answer is for both. The last ones to
/// join are looked at, where a repetition most likely is.
Waiter* Relay::repeated(const Waiter& waiter) noexcept {
    if (waiter.client.stream) {
        return nullptr; // each question on a connection gets its answer
    }
    Waiter* other = waiter.next;
    for (unsigned i = 0; other != nullptr && i < looked_at_again; ++i, other = other->next) {
        if (other->asker.id == waiter.asker.id && other->client.same_way(waiter.client)) {
            return other;
        }
    }
    return nullptr;
}

/// There is no room for a question: what has expired is better than nothing.
void Relay::turn_away(const Client& client, const NoAnswer& why) noexcept {
    if (const auto instead = expired_ ? cache_.stand_in(query_.question) : std::nullopt) {
        answers_.give_instead(client, query_.question, query_.asker, *instead);
    } else {
        answers_.give_no_answer(client, query_.question, query_.asker, why);
    }
}

/// Of one that waits. As long as few others do, who has how many of them does not matter. What asks
/// from this host, such as another forwarder, asks for many.
AddressCounts::Place Relay::place_for(const Client& client) noexcept {
    return waiters_.size() <= fair_from || client.peer.is_loopback()
               ? AddressCounts::Place{}
               : addresses_.enter(client.peer, client.standing.near);
}

/// Whether a source would have more questions waiting than there is room for those of others: with
/// this worker, or, where half of the room there is for one answer is taken, for that.
bool Relay::crowds(const Waiter& waiter) const noexcept {
    std::uint32_t left = waiters_.capacity() - waiters_.size() + 1; // its own is one of them
    if (waiter.inquiry->waiter_count > max_waiters / 2) {
        left = std::min(left, max_waiters - waiter.inquiry->waiter_count + 1);
    }
    return waiter.place && waiter.place.exceeds(std::max(left, fair_from));
}

} // namespace dotproxy
