// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/inquiries.hh"

#include "dns/key.hh"

#include <array>
#include <span>

namespace dotproxy {

namespace {

// All signed queries in flight; others are made from their question and hold no octets.
constexpr std::size_t sealed_cap = 8U << 20U;

} // namespace

void Awaited::add(Waiter& waiter) noexcept {
    waiter.inquiry = this;
    waiter.previous = nullptr;
    waiter.next = waiters;
    if (waiters != nullptr) {
        waiters->previous = &waiter;
    }
    waiters = &waiter;
    ++waiter_count;
}

void Awaited::remove(Waiter& waiter) noexcept {
    (waiter.previous != nullptr ? waiter.previous->next : waiters) = waiter.next;
    if (waiter.next != nullptr) {
        waiter.next->previous = waiter.previous;
    }
    --waiter_count;
}

Inquiries::Inquiries(std::uint32_t capacity)
    : slab_{capacity}, chains_{capacity}, hash_{SipHash::draw_key()} {}

std::uint64_t Inquiries::hash(const dns::Question& question) const noexcept {
    // All of the key: what a client can vary without changing the hash fills one bucket (L19).
    std::array<std::uint8_t, dns::max_key_size> key; // NOLINT(*-member-init): filled below
    const std::size_t size = dns::put_key(question, key);
    return hash_(std::span{key}.first(size));
}

Awaited* Inquiries::find(const dns::Question& question, std::uint64_t hash) noexcept {
    return chains_.find(hash, [&](const Awaited& inquiry) {
        return inquiry.hash == hash && inquiry.question == question;
    });
}

Awaited* Inquiries::create(const dns::Question& question, std::uint64_t hash) noexcept {
    Awaited* inquiry = slab_.create();
    if (inquiry != nullptr) {
        inquiry->question = question;
        inquiry->hash = hash;
        chains_.insert(*inquiry, hash);
    }
    return inquiry;
}

Awaited* Inquiries::create_sealed(const dns::Question& question, dns::Octets message) noexcept {
    if (sealed_octets_ + message.size() > sealed_cap) {
        return nullptr;
    }
    Awaited* inquiry = slab_.create();
    if (inquiry != nullptr) {
        sealed_octets_ += message.size();
        inquiry->question = question;
        inquiry->sealed.assign(message.begin(), message.end());
    }
    return inquiry;
}

void Inquiries::destroy(Awaited& inquiry) noexcept {
    if (inquiry.sealed.empty()) {
        chains_.remove(inquiry, inquiry.hash);
    } else {
        sealed_octets_ -= inquiry.sealed.size();
    }
    slab_.destroy(&inquiry);
}

} // namespace dotproxy
