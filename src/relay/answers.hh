// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Answers: writes every answer for the client that gets it, gives it to the front that the client
// came by, and counts it.

#pragma once

#include "dns/answer.hh"
#include "dns/local.hh"
#include "relay/client.hh"
#include "shared/counted.hh"
#include "upstream/inquiry.hh"
#include "upstream/turn.hh"

#include <optional>

namespace dotproxy {

class Gate;

class Answers {
  public:
    Answers(Turn& turn, Gate& gate) noexcept : turn_{turn}, gate_{gate} {}

    /// Nothing where no client waits (Waiter::client without a front).
    void give(const Client& client, const dns::Question& question, const dns::Asker& asker,
              const dns::Answer& answer, Outcome outcome) noexcept;
    /// What the cache had in place of a failure: expired, unless another worker was luckier.
    void give_instead(const Client& client, const dns::Question& question, const dns::Asker& asker,
                      const dns::Answer& answer) noexcept;
    void give_local(const Client& client, const dns::LocalAnswer& found,
                    const dns::Question& question, const dns::Asker& asker) noexcept;
    /// A response to a sealed query, which is passed on as it is.
    void give_sealed(const Client& client, const dns::Question& question, const dns::Asker& asker,
                     dns::Octets message) noexcept;
    /// `question` nullptr: it could not be read.
    void give_failure(const Client& client, const dns::Question* question, const dns::Asker& asker,
                      dns::Rcode rcode, const std::optional<dns::ExtendedError>& error,
                      Outcome outcome) noexcept;
    /// SERVFAIL.
    void give_no_answer(const Client& client, const dns::Question& question,
                        const dns::Asker& asker, const NoAnswer& why) noexcept;
    /// Nothing but that the answer would be too long.
    void give_truncated(const Client& client, const dns::Question& question,
                        const dns::Asker& asker) noexcept;

  private:
    template <class Write>
    void deliver(const Client& client, const dns::Asker& asker, std::size_t most, Outcome outcome,
                 Write write) noexcept;

    Turn& turn_;
    Gate& gate_;
};

} // namespace dotproxy
