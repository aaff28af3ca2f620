// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What there is of memory, and what follows when it is less than the configuration takes: the cache
// is the one large part, fills slowly, and outlives whom the kernel kills for it.

#pragma once

#include "base/cgroup.hh"
#include "config/config.hh"

#include <cstdint>
#include <optional>

namespace dotproxy {

/// How much memory there is for this service, as far as anybody says: the machine's, or less by a
/// limit of the control groups.
[[nodiscard]] cgroup::MemoryLimit available_memory();

/// Bounds the cache to half of `available`, whole MiB, one at least, and says so in the log. What
/// is bounded already stays, and nothing is said.
[[nodiscard]] Config within_memory(Config config, const cgroup::MemoryLimit& available);

/// OomWatch tells whether workers die because memory has run out.
class OomWatch {
  public:
    /// `kills` is cgroup::oom_kills(), as in the other call.
    explicit OomWatch(std::optional<std::uint64_t> kills) noexcept : kills_{kills} {}

    /// A worker was killed by a SIGKILL that this process did not send. Returns whether that was
    /// for memory: the count has grown, or, where there is none, it is the second one.
    [[nodiscard]] bool killed(std::optional<std::uint64_t> kills) noexcept;

  private:
    std::optional<std::uint64_t> kills_;
    unsigned unexplained_{0};
};

} // namespace dotproxy
