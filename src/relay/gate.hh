// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Gate: decides who may ask, and how much, in the one place that all questions and connections
// pass, whatever transport they come by (limits 39, 42, 48). What a source has had is counted in
// memory that all workers share; see shared/meter.hh.

#pragma once

#include "base/address.hh"
#include "base/prefix.hh"
#include "config/access.hh"
#include "relay/client.hh"
#include "relay/cookies.hh"
#include "relay/standing.hh"
#include "shared/limits_memory.hh"
#include "shared/meter.hh"
#include "shared/on_link.hh"
#include "upstream/turn.hh"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace dotproxy {

class Gate {
  public:
    /// All but the secrets outlive it. Throws std::bad_alloc.
    Gate(Turn& turn, const OnLink& on_link, const LimitsMemory& limits,
         const CookieSecrets& secrets);

    /// The standing of `peer`; nullopt where `access` does not let it ask, as it lets nobody whose
    /// address is not known.
    [[nodiscard]] std::optional<Standing> admit(const std::optional<Address>& peer,
                                                const Access& access) noexcept;

    /// Whether nothing at all is taken of `peer`, since it is blocked (counted): it is told
    /// nothing. Where the kernel drops what comes from there, this is for what was there before.
    [[nodiscard]] bool blocks(const Address& peer) noexcept;

    /// Another number whenever who is blocked has changed.
    [[nodiscard]] std::uint32_t blocked_version() noexcept;

    /// Whether the master has to be told that somebody is over a limit; asked once.
    [[nodiscard]] bool take_alarm() noexcept { return std::exchange(alarm_, false); }

    /// Whether `peer`, who may not ask, is to hear it: so that a mistake is found out, and nobody
    /// is sent much by using another's address, its network hears it once a second.
    [[nodiscard]] bool tells(const Address& peer) noexcept;

    /// Looks at the cookie that `peer` sent, of a size that dns::is_cookie_size(). A valid one
    /// shows that the address is its own, as a connection does (limits 14 and 44).
    [[nodiscard]] Cookies::Checked recognize(const Address& peer, dns::Octets cookie) noexcept;

    /// While more is asked than can be answered: has `peer` pay `price` for a question, in time of
    /// which every source has the same. false: it has had its part (limits 28).
    [[nodiscard]] bool pay(const Address& peer, Standing standing,
                           std::chrono::nanoseconds price) noexcept;

    /// What becomes of a question that came over UDP (limits 13, 18). Who has shown by a cookie
    /// that the address is its own has a budget of its own, which nobody else can use up.
    enum class Admission : std::uint8_t {
        answer,
        truncate, // TC: the way over TCP is open to who is really there; to who gets a cookie,
                  // BADCOOKIE: with that one it may ask again
        drop,
    };
    [[nodiscard]] Admission ask(const Client& client, std::uint16_t type,
                                bool gets_cookie) noexcept;

    /// Counts a datagram or a new connection that is no question, or of a stranger, who has no
    /// `standing`. Who sends many of those is over a limit like others, and the master is told
    /// (limits 20).
    void charge_unanswered(const Address& peer, std::optional<Standing> standing,
                           bool stream) noexcept;

    /// The answer to that is so many octets long, of which the first 512 are paid (limits 16).
    void charge_answer(const Client& client, std::size_t octets) noexcept;

    /// Whether upstreams are asked for this client, whatever the transport (limits 15).
    [[nodiscard]] bool forward(const Client& client) noexcept;

    /// The same of a question that is asked for the cache, when this client had its answer: it is
    /// not missed where the client has used up what it may have.
    [[nodiscard]] bool refresh(const Client& client) noexcept;

    /// That was dearer than others: so many more are charged (limits 16).
    void charge_forwarded(const Client& client, std::uint32_t more) noexcept;

    /// Whether a new TCP connection of `peer` is taken.
    [[nodiscard]] bool connect(const Address& peer, Standing standing) noexcept;

    /// That connection began a TLS session that continues no earlier one, which is dearer (limits
    /// 38): what it costs is charged to new connections, whatever comes of it.
    void charge_handshake(const Address& peer, Standing standing) noexcept;

  private:
    /// What is counted apart from each other.
    enum class Kind : std::uint8_t {
        // Apart from each other, since whoever sends from a client's address shall not use up what
        // that client has when it shows that it is there.
        question,
        verified_question,
        miss,
        verified_miss,
        connection,
        refusal,
        work,
    };
    static constexpr std::size_t limited_kinds = 5; // the first ones

    /// For an address, or its /64, and for the network around it; without a cost: no limit.
    struct Rates {
        Rate alone;
        Rate around_v4;
        Rate around_v6;
    };

    using Budgets = std::array<Budget, 2>;

    /// What was found of an address, for the next question that comes from there.
    struct Known {
        AddressBits bits{};
        const Access* access{nullptr};
        std::uint32_t on_link{0}; // the version of what was on-link
        std::optional<Standing> standing{};
    };

    [[nodiscard]] Standing find(const Address& peer,
                                std::span<const Prefix> on_link) const noexcept;

    [[nodiscard]] std::span<const Budget>
    budgets_of(Kind kind, const Address& peer, Standing standing, Budgets& room) const noexcept;
    [[nodiscard]] static std::span<const Budget> budgets_at(const Rates& rates, Kind kind,
                                                            const Address& peer, Standing standing,
                                                            Budgets& room) noexcept;
    [[nodiscard]] bool charge(Kind kind, const Address& peer, Standing standing,
                              bool verified) noexcept;
    [[nodiscard]] bool is_blocked_unverified(const Address& peer) noexcept;
    void note(const Budget& over, Kind kind, bool verified) noexcept;
    void debit(Kind kind, const Client& client, std::uint32_t units) noexcept;
    [[nodiscard]] static std::array<Rates, limited_kinds> rates_of(const LimitsConfig& limits,
                                                                   double factor) noexcept;

    Turn& turn_;
    OnLink::View on_link_;
    Meter meter_;
    const Offenders& offenders_;
    PrefixList::View blocked_;
    PrefixList::View blocked_unverified_;
    PrefixMap<std::uint8_t> networks_;                    // which rates count there, or unlimited
    std::vector<std::array<Rates, limited_kinds>> rates_; // first, of all others; none: no limits
    std::array<Known, 64> known_{};
    bool counts_only_;
    unsigned refused_{0}; // of questions over their limit
    bool alarm_{false};   // the master sleeps, and has something to look at
    Cookies cookies_;
};

} // namespace dotproxy
