// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The system calls that a worker makes. Every other one raises SIGSYS before the kernel has looked
// at it (SECCOMP_RET_TRAP); a call of a foreign architecture kills at once.

#pragma once

namespace dotproxy::sandbox {

/// Puts the filter on this process for good. `datagrams`: UDP sockets may be made, to ask with;
/// `syslog`: and such as lead to the system's log, since its daemon may be started anew. Throws
/// std::system_error.
void load_filter(bool datagrams, bool syslog);

} // namespace dotproxy::sandbox
