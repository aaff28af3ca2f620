// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Failover: what follows when an upstream answers that it cannot, or will not: with SERVFAIL,
// REFUSED, NOTIMP or FORMERR, or with what is no answer (L82). Then the next upstream is asked
// (RFC 1034, section 5.3.3, step 4d; RFC 9520, section 3), within the three sends (L81). If none
// has an answer, or the client's patience ends, the first one's failure is the answer.
//
// What an upstream means to say is not asked elsewhere: that validation failed, or that a filter
// keeps the answer back. Where SERVFAIL gives no reason, the same upstream is asked once more with
// checking disabled (CD): if it then has an answer, validation had failed, and nobody else may be
// found who does not look (RFC 4035, section 5.5).
//
// A name that another upstream answered goes to that one first for a while; all others go to the
// first as ever. Signed queries have nothing to do with all this (C25).

#pragma once

#include "upstream/endpoints.hh"
#include "upstream/failed_names.hh"
#include "upstream/inquiry.hh"
#include "upstream/turn.hh"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace dotproxy {

class Failover {
  public:
    /// Upstreams of a higher rank never stand in for another one.
    static constexpr unsigned most_upstreams = 64;

    /// `turn` and `endpoints` outlive it. Throws std::system_error when the system has no
    /// randomness.
    Failover(const Turn& turn, const Endpoints& endpoints);

    /// How many upstreams take part: none where there is no other one to go to, or it is not
    /// wanted.
    [[nodiscard]] unsigned upstreams() const noexcept { return upstreams_; }

    /// What is to become of an inquiry that was answered.
    struct Step {
        enum class Kind : std::uint8_t {
            pass_on, // the reply is the answer
            settle,  // the failure that it holds is
            wait,    // it is on its way to another connection
            ask,     // the upstream of `rank`; with CD where the inquiry is `checking`
        };
        Kind kind;
        unsigned rank{0};
    };

    /// The upstream of `rank` replied. What fails first is kept in the inquiry.
    [[nodiscard]] Step judge(Inquiry& inquiry, unsigned rank, const Reply& reply) noexcept;

    /// There is no connection to the upstream of `rank`, or none that answers, for an inquiry that
    /// holds a failure: settle or ask.
    [[nodiscard]] Step after_waiting(Inquiry& inquiry, unsigned rank) const noexcept;

    /// The upstream that a new inquiry goes to first, since it answered the name where another one
    /// failed; nullopt: the best of all.
    [[nodiscard]] std::optional<unsigned> preferred(const Inquiry& inquiry) const noexcept;

    /// It is being sent to the upstream of `rank`.
    static void note_send(Inquiry& inquiry, unsigned rank) noexcept {
        inquiry.asked |= bit_of(rank);
    }

  private:
    [[nodiscard]] static std::uint64_t bit_of(unsigned rank) noexcept {
        return rank < most_upstreams ? std::uint64_t{1} << rank : 0;
    }

    [[nodiscard]] Step after_answer(const Inquiry& inquiry, unsigned rank) noexcept;
    [[nodiscard]] Step after_check(Inquiry& inquiry, unsigned rank, bool answered) noexcept;
    [[nodiscard]] Step after_failure(Inquiry& inquiry, unsigned rank, const Reply& reply,
                                     dns::Failure failure) noexcept;
    [[nodiscard]] Step ask_next(const Inquiry& inquiry) const noexcept;
    [[nodiscard]] bool is_usable(const Endpoint& endpoint) const noexcept;

    const Turn& turn_;
    const Endpoints& endpoints_;
    unsigned upstreams_;
    FailedNames names_;
};

} // namespace dotproxy
