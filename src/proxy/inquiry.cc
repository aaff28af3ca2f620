// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "proxy/inquiry.hh"

#include "dns/key.hh"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <sys/random.h>
#include <system_error>

namespace dotproxy {

namespace {

// All signed queries in flight; others are made from their question and hold no octets.
constexpr std::size_t sealed_cap = 8U << 20U;

SipHash::Key draw_key() {
    SipHash::Key key{};
    if (::getrandom(&key, sizeof key, 0) != static_cast<ssize_t>(sizeof key)) {
        throw std::system_error{errno, std::generic_category(), "getrandom"};
    }
    return key;
}

} // namespace

bool Inquiry::in_flight() const noexcept {
    return std::any_of(places.begin(), places.end(),
                       [](const Place& place) { return place.connection != nullptr; });
}

void Inquiry::add_place(Connection& connection, std::uint16_t slot) noexcept {
    for (Place& place : places) {
        if (place.connection == nullptr) {
            place = {.connection = &connection, .slot = slot};
            return;
        }
    }
}

void Inquiry::remove_place(const Connection& connection) noexcept {
    for (Place& place : places) {
        if (place.connection == &connection) {
            place = {};
        }
    }
}

void Inquiry::add(Waiter& waiter) noexcept {
    waiter.inquiry = this;
    waiter.previous = nullptr;
    waiter.next = waiters;
    if (waiters != nullptr) {
        waiters->previous = &waiter;
    }
    waiters = &waiter;
    ++waiter_count;
}

void Inquiry::remove(Waiter& waiter) noexcept {
    (waiter.previous != nullptr ? waiter.previous->next : waiters) = waiter.next;
    if (waiter.next != nullptr) {
        waiter.next->previous = waiter.previous;
    }
    --waiter_count;
}

void Inquiries::Free::operator()(Inquiry** buckets) const noexcept {
    std::free(buckets); // NOLINT(cppcoreguidelines-no-malloc): see the constructor
}

Inquiries::Inquiries(std::uint32_t capacity)
    : slab_{capacity}, bucket_mask_{std::bit_ceil(std::size_t{capacity}) - 1},
      // NOLINTBEGIN(cppcoreguidelines-no-malloc,bugprone-sizeof-expression): an array of pointers
      // from calloc, whose pages stay the kernel's until they are used.
      buckets_{static_cast<Inquiry**>(std::calloc(bucket_mask_ + 1, sizeof(Inquiry*)))},
      // NOLINTEND(cppcoreguidelines-no-malloc,bugprone-sizeof-expression)
      hash_{draw_key()} {
    if (!buckets_) {
        throw std::bad_alloc{};
    }
}

std::uint64_t Inquiries::hash(const dns::Question& question) const noexcept {
    // All of the key: what a client can vary without changing the hash fills one bucket (L19).
    std::array<std::uint8_t, dns::max_key_size> key; // NOLINT(*-member-init): filled below
    const std::size_t size = dns::put_key(question, key);
    return hash_(std::span{key}.first(size));
}

Inquiry* Inquiries::find(const dns::Question& question, std::uint64_t hash) noexcept {
    Inquiry* found = bucket(hash);
    while (found != nullptr && !(found->hash == hash && found->question == question)) {
        found = found->chain;
    }
    return found;
}

Inquiry* Inquiries::create(const dns::Question& question, std::uint64_t hash) noexcept {
    Inquiry* inquiry = slab_.create();
    if (inquiry != nullptr) {
        inquiry->question = question;
        inquiry->hash = hash;
        inquiry->chain = bucket(hash);
        bucket(hash) = inquiry;
    }
    return inquiry;
}

Inquiry* Inquiries::create_sealed(const dns::Question& question, dns::Octets message) noexcept {
    if (sealed_octets_ + message.size() > sealed_cap) {
        return nullptr;
    }
    Inquiry* inquiry = slab_.create();
    if (inquiry != nullptr) {
        sealed_octets_ += message.size();
        inquiry->question = question;
        inquiry->sealed.assign(message.begin(), message.end());
    }
    return inquiry;
}

void Inquiries::destroy(Inquiry& inquiry) noexcept {
    if (inquiry.sealed.empty()) {
        Inquiry** link = &bucket(inquiry.hash);
        while (*link != &inquiry) {
            link = &(*link)->chain;
        }
        *link = inquiry.chain;
    } else {
        sealed_octets_ -= inquiry.sealed.size();
    }
    slab_.destroy(&inquiry);
}

} // namespace dotproxy
