// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Call: a system call that was forbidden, as one word that a signal handler can leave in shared
// memory, and a name for it.

#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace dotproxy::sandbox {

/// Where a process leaves the call that it dies of; 0: none.
using Trace = std::atomic<std::uint64_t>;
static_assert(Trace::is_always_lock_free);

/// `architecture` is that of <linux/audit.h>, which is never 0.
[[nodiscard]] constexpr std::uint64_t pack_call(std::uint32_t architecture, int number) noexcept {
    return std::uint64_t{architecture} << 32U | static_cast<std::uint32_t>(number);
}

/// "execve", or "system call 1234" where no name is known. What is given may be anything: it comes
/// from a process that somebody may have taken over.
[[nodiscard]] std::string call_name(std::uint64_t call);

} // namespace dotproxy::sandbox
