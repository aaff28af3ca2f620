// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What there is of memory, and what follows when it is less than the configuration takes: the cache
// is the one large part, fills slowly, and outlives whom the kernel kills for it.

#pragma once

#include "base/cgroup.hh"
#include "base/clock.hh"
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

/// Whether workers die because memory has run out.
enum class RunOut : std::uint8_t {
    no,
    likely,  // nobody counts, and two were killed within OomWatch::suspicious_time
    certain, // the kernel has counted one
};

/// OomWatch tells that of each worker that is killed.
class OomWatch {
  public:
    /// `kills` is cgroup::oom_kills(), as in the other call.
    explicit OomWatch(std::optional<std::uint64_t> kills) noexcept : kills_{kills} {}

    /// Two that are killed within this time have died of the same, one after the other.
    static constexpr std::chrono::minutes suspicious_time{10};

    /// A worker was killed by a SIGKILL that this process did not send.
    [[nodiscard]] RunOut killed(std::optional<std::uint64_t> kills, TimePoint now) noexcept;

  private:
    std::optional<std::uint64_t> kills_;
    std::optional<TimePoint> unexplained_; // the last one that may have been the first of two
};

} // namespace dotproxy
