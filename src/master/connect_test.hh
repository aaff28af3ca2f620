// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What `dotproxy -t --connect` does beyond `dotproxy -t`: it sees whether the upstreams work, from
// a process that has become what a worker is.

#pragma once

#include "config/config.hh"
#include "master/privileges.hh"

#include <optional>

namespace dotproxy {

/// Becomes `account`, if there is one, and shuts itself in, both for good; then connects to each
/// address of each upstream and says what it found, a line for each. The process can do little but
/// end after it, by _exit(2). true: all that is needed works. Throws std::exception where it cannot
/// become what a worker is.
[[nodiscard]] bool try_upstreams(const Config& config, const std::optional<Account>& account);

} // namespace dotproxy
