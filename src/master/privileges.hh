// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Privileges: what the process may do, given up for good.

#pragma once

#include <cstdint>
#include <string>

namespace dotproxy {

/// As root: becomes `user` and `group` with no supplementary groups and no capability, and checks
/// that there is no way back (L68). As anybody else: only gives up capabilities. Either way no
/// program that is run can gain privileges any more. Throws std::runtime_error that says what
/// failed.
void drop_privileges(const std::string& user, const std::string& group);

/// Raises the limit of open descriptors to `wanted` as far as the system lets. Returns what it is
/// then.
[[nodiscard]] std::uint64_t raise_descriptor_limit(std::uint64_t wanted) noexcept;

} // namespace dotproxy
