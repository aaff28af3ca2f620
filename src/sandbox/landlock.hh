// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Landlock: no file by name; since version 4 no server on a port, and no connect(2) but to the
// ports that upstreams have. What is open already stays open.

#pragma once

#include "sandbox/needs.hh"

namespace dotproxy::sandbox {

/// The version of the kernel's Landlock; 0: it has none, or does not let us.
[[nodiscard]] int landlock_version() noexcept;

/// Takes from this process, and all that it will ever fork, every right that a Landlock of
/// `version` knows, but for TCP connections to the ports that it needs, from a port that the kernel
/// chooses. The process has no_new_privs. Throws std::system_error.
void enter_landlock(int version, const Needs& needs);

} // namespace dotproxy::sandbox
