// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Groups: whom a worker asks about what. Each group of upstreams has everything that it takes to
// itself, and none stands in for another: they may have different answers to a question, so that
// its group is a part of it.

#pragma once

#include "shared/counter_region.hh"
#include "tls/client_context.hh"
#include "upstream/group.hh"
#include "upstream/health_check.hh"
#include "upstream/inquiry.hh"
#include "upstream/turn.hh"

#include <cstddef>
#include <memory>
#include <vector>

namespace dotproxy {

class Groups {
  public:
    /// Those of the configuration. `contexts`, one for each upstream, `counts` and `inquirer`
    /// outlive them. Throws as Endpoints does.
    Groups(Turn& turn, const tls::ClientContexts& contexts, const CounterLease& counts,
           Inquirer& inquirer, HealthCheck::Timing timing);

    /// The one that is asked a question.
    [[nodiscard]] Group& of(const dns::Question& question) noexcept {
        return *all_[question.group];
    }

    [[nodiscard]] Group& operator[](unsigned number) noexcept { return *all_[number]; }

    void start_check() noexcept;
    void stop_check() noexcept;

    void expire() noexcept;
    void soonest(TimePoint& earliest) noexcept;
    void flush() noexcept;
    void bury() noexcept;
    /// Takes leave of every upstream, for the end of the process (C73).
    void close_all() noexcept;

  private:
    Turn& turn_;
    std::vector<std::unique_ptr<Group>> all_; // as the configuration numbers them
    std::size_t connections_{0};              // as it was counted last
};

} // namespace dotproxy
