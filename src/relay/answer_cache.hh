// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// AnswerCache: what is known already, and when it may be said. Three ages of an answer:
//
//     fresh      until its TTL ends: given at once. In the last tenth of it, one worker of all asks
//                again (prefetch).
//     expired    up to cache.max_stale longer: given to who waited cache.stale_after in vain, or at
//                once when the last attempt failed or no upstream works (RFC 8767), with an
//                Extended DNS Error that says so. Never in place of a validation that failed.
//     forgotten
//
// A failure stands under a key of its own, so it never takes the place of an answer (C85). It is
// given for a second, then for twice as long each time, up to cache.failure_ttl (RFC 9520), until
// there is an answer. Then one of all workers asks again; the others give it a little longer (L25).
// It is given no more once an upstream has come back, or another generation serves. That a
// validation failed is still known then.

#pragma once

#include "dns/answer.hh"
#include "dns/kept.hh"
#include "dns/key.hh"
#include "shared/cache.hh"
#include "upstream/turn.hh"

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace dotproxy {

class AnswerCache {
  public:
    /// `memory` nullptr: nothing is remembered. It outlives this.
    AnswerCache(Turn& turn, const CacheMemory* memory);

    /// What is known of a question.
    struct Known {
        std::optional<dns::Answer> answer; // to be given at once; until the next call here
        Outcome outcome{Outcome::hit};     // of this: hit, stale, or failed
        bool expired{false};               // else: one that is given to who waits for stale_after
        std::uint64_t refresh_until{0};    // not 0: the caller is to ask again
        bool tried_again{false};           // it is a failure, and somebody asks again just now
    };

    /// `failing`: no upstream works.
    [[nodiscard]] Known look_up(const dns::Question& question, bool failing) noexcept;

    /// The upstream answered; `refresh_until` as look_up() told it, if this was a refresh. Returns
    /// what is to be given instead, where a failure can be made up for with an answer that expired;
    /// it lives until the next call here.
    [[nodiscard]] std::optional<dns::Answer> learn(const dns::Question& question,
                                                   const dns::Answer& answer,
                                                   std::uint64_t refresh_until) noexcept;

    /// There is no answer to be had, or not within stale_after: the same.
    [[nodiscard]] std::optional<dns::Answer> make_up(const dns::Question& question,
                                                     const dns::ExtendedError& error) noexcept;

    /// The same for who is not to wait, for a reason that says nothing about the question; nothing
    /// is remembered of it.
    [[nodiscard]] std::optional<dns::Answer> stand_in(const dns::Question& question) noexcept;

    /// An upstream that had failed answers again: failures so far count no more. Once a second at
    /// most, so that one that comes and goes has no name asked for more often than that (RFC 9520,
    /// section 3.2).
    void recovered() noexcept;

    /// Others take over: failures so far count no more for them, and what fails here from now on is
    /// not remembered, but for a validation.
    void drain() noexcept;

    /// Known::refresh_until is not made use of: whoever asks next may refresh the answer.
    void release(const dns::Question& question, std::uint64_t until) noexcept;

  private:
    using Key = std::span<const std::uint8_t>;

    /// The last attempt, if it failed.
    struct Failure {
        std::optional<dns::Answer> answer; // what was told, now or a moment ago
        bool counts{false};                // it is to be told again
        bool bogus{false};                 // what was found failed validation (C89)
        std::chrono::seconds next_ttl;     // of the next one in a row
    };

    [[nodiscard]] Key key_of(const dns::Question& question, std::uint8_t kind) noexcept;
    [[nodiscard]] std::uint64_t now() noexcept;
    [[nodiscard]] std::optional<Entry> find(const dns::Question& question,
                                            std::uint8_t kind) noexcept;
    [[nodiscard]] Failure last_failure(const dns::Question& question,
                                       const std::optional<Entry>& known) noexcept;
    [[nodiscard]] Failure last_failure(const dns::Question& question) noexcept;
    [[nodiscard]] std::optional<dns::Answer> expired_answer(const dns::Question& question) noexcept;
    void remember(const dns::Question& question, const dns::Answer& answer,
                  const dns::Keeping& keeping) noexcept;
    void forget(const dns::Question& question, std::uint8_t kind) noexcept;
    [[nodiscard]] std::uint64_t claim(const dns::Question& question,
                                      Milliseconds duration) noexcept;

    Turn& turn_;
    dns::TtlPolicy policy_;
    std::uint64_t max_stale_; // milliseconds
    std::optional<Cache> cache_;
    std::array<std::uint8_t, dns::max_key_size> key_{};
    std::optional<Undumped<std::array<std::uint8_t, dns::max_kept_size>>> kept_;
    TimePoint turn_at_{TimePoint::min()}; // when uptime_ was read
    std::uint64_t uptime_{0};
    bool draining_{false};
};

} // namespace dotproxy
