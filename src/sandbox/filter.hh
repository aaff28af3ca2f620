// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The system calls that a worker makes. Every other one raises SIGSYS before the kernel has looked
// at it (SECCOMP_RET_TRAP); a call of a foreign architecture kills at once.

#pragma once

#include "sandbox/needs.hh"

namespace dotproxy::sandbox {

/// Puts the filter on this process for good. UDP sockets, to ask with, and such as lead to the
/// system's log, since its daemon may be started anew, may be made only where they are needed; so
/// for the calls that choose a way out. Throws std::system_error.
void load_filter(const Needs& needs);

} // namespace dotproxy::sandbox
