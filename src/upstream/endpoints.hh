// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Endpoints: all addresses of a group's upstreams, in the order of the configuration: which of them
// is to be tried next, and how they fare together.

#pragma once

#include "base/log.hh"
#include "http/client_context.hh"
#include "http/client_session.hh"
#include "shared/counter_region.hh"
#include "tls/client_context.hh"
#include "tls/identity.hh"
#include "upstream/endpoint.hh"
#include "upstream/inquiry.hh"
#include "upstream/turn.hh"

#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace dotproxy {

class Endpoints {
  public:
    /// Those of the group of that number. `contexts`, one for each upstream of all groups, outlive
    /// them; `lease` tells which rows of the counters are theirs. Throws ConfigError where nothing
    /// is given that an upstream could be verified by.
    Endpoints(Turn& turn, unsigned group, const tls::ClientContexts& contexts,
              const CounterLease& lease);

    /// How many upstreams they are of.
    [[nodiscard]] std::size_t upstreams() const noexcept { return identities_.size(); }

    /// The endpoint to be tried next, or nullptr: of a better rank than `below`, where the pause
    /// after its last failure is over and `taken(endpoint)` does not hold. Untroubled ones go
    /// first, then the better rank, then the one that last was of use; of troubled ones the one
    /// whose pause was over first.
    template <class Taken>
    [[nodiscard]] Endpoint* next(unsigned below, Taken taken) const noexcept {
        Endpoint* best = nullptr;
        for (const auto& endpoint : all_) {
            if (endpoint->rank() < below && endpoint->retry_at() <= turn_.now &&
                !taken(*endpoint) && (best == nullptr || precedes(*endpoint, *best))) {
                best = endpoint.get();
            }
        }
        return best;
    }

    /// Whether no upstream works now.
    [[nodiscard]] bool failing() const noexcept;

    /// Whether nothing is to be hoped for within a client's patience: every endpoint cannot be
    /// trusted or be asked, or has been out of use for so long that a restart or a change of
    /// networks would be over, or wants to rest for longer than a client waits.
    [[nodiscard]] bool hopeless() const noexcept;

    /// Why there is no answer, for those who waited in vain. The text lives until the next call.
    [[nodiscard]] NoAnswer excuse() noexcept;

    /// An endpoint failed: counts and logs it.
    void failed(Endpoint& endpoint, Trouble trouble, std::string reason) noexcept;
    /// An endpoint answered that it cannot, or will not, and another upstream is asked in its
    /// place: counts and logs it.
    void failed_over(Endpoint& endpoint) noexcept;
    /// An endpoint answered: whatever was wrong with it is over. Returns whether anything was.
    bool answered(Endpoint& endpoint) noexcept;

    [[nodiscard]] auto begin() const noexcept { return all_.begin(); }

    [[nodiscard]] auto end() const noexcept { return all_.end(); }

  private:
    [[nodiscard]] HttpsWay https_of(const UpstreamConfig& upstream);
    [[nodiscard]] static bool precedes(const Endpoint& a, const Endpoint& b) noexcept;

    Turn& turn_;
    std::vector<tls::Identity> identities_;     // one an upstream; never changes once made
    std::vector<http::Target> targets_;         // the same; empty where it is asked over TLS
    std::unique_ptr<http::ClientContext> http_; // where any is asked over HTTPS
    std::vector<std::unique_ptr<Endpoint>> all_;
    std::minstd_rand random_;
    std::string excuse_;
    log::Limiter failure_log_;
    log::Limiter failover_log_;
};

} // namespace dotproxy
