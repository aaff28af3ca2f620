// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// CookieSecrets: what the cookies of a server are made and checked with (RFC 9018, section 4.4).
// All servers that answer at the same address have the same; the file is that of unbound and NSD.

#pragma once

#include "base/siphash.hh"
#include "config/config.hh"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dotproxy {

using CookieSecret = std::array<std::uint8_t, 16>;

/// The first one makes cookies, and those of either are accepted: so a fleet gets a new secret in
/// steps of which no client notices anything (RFC 9018, section 5).
struct CookieSecrets {
    CookieSecret first{};
    std::optional<CookieSecret> second{};

    /// One that nobody can know. Throws std::system_error when the system has no randomness.
    [[nodiscard]] static CookieSecrets draw() {
        return {.first = std::bit_cast<CookieSecret>(SipHashKey::draw())};
    }
};

/// Reads limits.cookie_secret_file: a line or two of 32 hexadecimal digits, and a # and what
/// follows on the line left out. Refuses a file that others than its owner and its group may use,
/// or its group change. nullopt where no file is configured. Throws ConfigError.
[[nodiscard]] std::optional<CookieSecrets> load_cookie_secrets(const Config& config);

} // namespace dotproxy
