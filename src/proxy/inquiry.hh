// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Inquiry: one question on its way to an upstream, and the clients that wait for its answer.
// Inquiries: all of them in this worker, found by their question, so that the same question goes
// out once (C95).

#pragma once

#include "base/chains.hh"
#include "base/deadline.hh"
#include "base/siphash.hh"
#include "base/slab.hh"
#include "dns/query.hh"
#include "proxy/client.hh"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace dotproxy {

class Connection;
struct Inquiry;

/// One client's query that is not answered yet. Its deadline is that client's patience (L31).
struct Waiter : Deadline {
    Client client; // no front: it has its answer, or never was; only the cache waits
    dns::Asker asker;
    Inquiry* inquiry{nullptr};
    Waiter* previous{nullptr};
    Waiter* next{nullptr};
};

/// At most three sends for one question, all causes together (C74, L81).
constexpr std::size_t max_sends = 3;

/// Its deadline is the upstream's patience, armed at each send.
struct Inquiry : Deadline {
    dns::Question question;
    std::vector<std::uint8_t> sealed; // the query itself where it is signed; else empty (C25)
    std::uint64_t hash{0};
    std::uint64_t refresh_until{0}; // not 0: AnswerCache asked for it
    Inquiry* chain{nullptr};        // next in the same bucket

    Waiter* waiters{nullptr};
    std::uint32_t waiter_count{0};

    /// Where it is in flight: connections that may still answer it.
    struct Place {
        Connection* connection{nullptr};
        std::uint16_t slot{0};
    };

    std::array<Place, max_sends> places{};
    std::uint8_t sends{0};
    std::uint8_t lane{0}; // above 0: it may have broken a connection, see Upstreams
    TimePoint sent_at{};

    // The queue of those that wait for a connection; see Upstreams.
    bool queued{false};
    Inquiry* queue_previous{nullptr};
    Inquiry* queue_next{nullptr};

    [[nodiscard]] bool in_flight() const noexcept;

    /// Whether no more than one send is left.
    [[nodiscard]] bool has_one_send() const noexcept { return sends + 1U >= max_sends; }

    void add_place(Connection& connection, std::uint16_t slot) noexcept;
    void remove_place(const Connection& connection) noexcept;

    void add(Waiter& waiter) noexcept;
    void remove(Waiter& waiter) noexcept;
};

class Inquiries {
  public:
    /// Room for `capacity` at a time.
    explicit Inquiries(std::uint32_t capacity);

    /// The inquiry with this question, or nullptr.
    [[nodiscard]] Inquiry* find(const dns::Question& question, std::uint64_t hash) noexcept;
    [[nodiscard]] std::uint64_t hash(const dns::Question& question) const noexcept;

    /// Makes an inquiry; others can join it. nullptr when there is no room.
    [[nodiscard]] Inquiry* create(const dns::Question& question, std::uint64_t hash) noexcept;
    /// Makes one that nobody can join, for a signed query. nullptr when there is no room.
    [[nodiscard]] Inquiry* create_sealed(const dns::Question& question,
                                         dns::Octets message) noexcept;
    void destroy(Inquiry& inquiry) noexcept;

    [[nodiscard]] std::uint32_t size() const noexcept { return slab_.size(); }

  private:
    Slab<Inquiry> slab_;
    Chains<Inquiry> chains_;
    SipHash hash_;
    std::size_t sealed_octets_{0};
};

} // namespace dotproxy
