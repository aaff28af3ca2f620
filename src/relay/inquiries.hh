// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Waiter: one client's query that is not answered yet. Awaited: an inquiry, and the waiters that
// joined it. Inquiries: all of them in this worker, found by their question, so that the same
// question goes out once (C95).

#pragma once

#include "base/chains.hh"
#include "base/deadline.hh"
#include "base/siphash.hh"
#include "base/slab.hh"
#include "dns/query.hh"
#include "relay/address_counts.hh"
#include "relay/client.hh"
#include "upstream/inquiry.hh"

#include <cstdint>

namespace dotproxy {

struct Awaited;

/// One client's query that is not answered yet. Its deadline is that client's patience (L31).
struct Waiter : Deadline {
    Client client; // no front: it has its answer, or never was; only the cache waits
    dns::Asker asker;
    AddressCounts::Place place;  // among those of its address, where that counts
    bool may_be_anybodys{false}; // it came over UDP from afar, and nothing shows who sent it
    Awaited* inquiry{nullptr};
    Waiter* previous{nullptr};
    Waiter* next{nullptr};
};

/// What is asked of the upstreams, and who waits for it.
struct Awaited final : Inquiry {
    std::uint64_t hash{0};
    std::uint64_t refresh_until{0}; // not 0: AnswerCache asked for it
    Awaited* chain{nullptr};        // next in the same bucket

    Waiter* waiters{nullptr};
    std::uint32_t waiter_count{0};

    void add(Waiter& waiter) noexcept;
    void remove(Waiter& waiter) noexcept;
};

class Inquiries {
  public:
    /// Room for `capacity` at a time.
    explicit Inquiries(std::uint32_t capacity);

    /// The inquiry with this question, or nullptr.
    [[nodiscard]] Awaited* find(const dns::Question& question, std::uint64_t hash) noexcept;
    [[nodiscard]] std::uint64_t hash(const dns::Question& question) const noexcept;

    /// Makes an inquiry; others can join it. nullptr when there is no room.
    [[nodiscard]] Awaited* create(const dns::Question& question, std::uint64_t hash) noexcept;
    /// Makes one that nobody can join, for a signed query. nullptr when there is no room.
    [[nodiscard]] Awaited* create_sealed(const dns::Question& question,
                                         dns::Octets message) noexcept;
    void destroy(Awaited& inquiry) noexcept;

    [[nodiscard]] std::uint32_t size() const noexcept { return slab_.size(); }

  private:
    Slab<Awaited> slab_;
    Chains<Awaited> chains_;
    SipHash hash_;
    std::size_t sealed_octets_{0};
};

} // namespace dotproxy
