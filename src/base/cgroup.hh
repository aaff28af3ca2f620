// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// cgroup: what the control groups of this process, and those above them, allow it: version 1, 2 and
// both side by side (cgroup-v1/memory.rst, cgroup-v2.rst and scheduler/sched-bwc.rst among the
// kernel's documents). Each call looks anew, since limits change and processes are moved.
//
// `root` stands before every path, so that a test can make a machine of its own.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace dotproxy::cgroup {

struct MemoryLimit {
    std::uint64_t octets;
    std::string file; // that says so
};

/// The least memory limit, of whatever makes the kernel kill or throttle (memory.high). nullopt
/// where none is set or can be read; version 1 says "none" with a number beyond all memory.
[[nodiscard]] std::optional<MemoryLimit> memory_limit(const std::string& root = {});

/// How many CPUs the least quota of processor time amounts to, rounded up. nullopt where there is
/// none.
[[nodiscard]] std::optional<unsigned> cpu_limit(const std::string& root = {});

/// How many processes of the own group were killed because memory ran out, there or anywhere above.
/// nullopt where the kernel does not say: before Linux 4.13, and in the topmost group.
[[nodiscard]] std::optional<std::uint64_t> oom_kills(const std::string& root = {});

} // namespace dotproxy::cgroup
