// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Privileges: what the process may do, given up for good.

#pragma once

#include "config/config.hh"

#include <cstdint>
#include <optional>
#include <sys/types.h>

namespace dotproxy {

/// Whom to be.
struct Account {
    uid_t user;
    gid_t group;
};

/// Looks up the account that a configuration names. Throws ConfigError where there is none.
[[nodiscard]] Account find_account(const Config& config);

/// The same where it is needed: nullopt for a process that is not root, and stays who it is.
[[nodiscard]] std::optional<Account> account_in_place_of_root(const Config& config);

/// Becomes `account`, if there is one, with no supplementary groups, and checks that there is no
/// way back (L68). Gives up every capability, for all who could still have one; no program that is
/// run can gain privileges any more. Throws std::runtime_error that says what failed.
void drop_privileges(const std::optional<Account>& account);

/// Raises the limit of open descriptors to `wanted` as far as the system lets. Returns what it is
/// then.
[[nodiscard]] std::uint64_t raise_descriptor_limit(std::uint64_t wanted) noexcept;

} // namespace dotproxy
