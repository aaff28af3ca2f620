// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Cookies: makes and checks the cookies by which a client shows that its address is its own
// (RFC 7873), in the form on which all servers agree (RFC 9018). No state but the secrets: any
// worker, and any server with the same ones, knows what another one gave.

#pragma once

#include "base/prefix.hh"
#include "base/siphash.hh"
#include "config/cookie_secrets.hh"
#include "dns/cookie.hh"

#include <chrono>
#include <cstdint>
#include <optional>

namespace dotproxy {

class Cookies {
  public:
    /// Seconds since 1970 modulo 2^32, compared as serial numbers (RFC 9018, section 4.3).
    using Time = std::uint32_t;

    // The age that a cookie may have, and from which on it is replaced, in seconds.
    static constexpr std::int32_t oldest = 3600;
    static constexpr std::int32_t from_future = 300; // by the clock of another server
    static constexpr std::int32_t renewed_after = 1800;

    /// What a client's option shows.
    enum class Verdict : std::uint8_t {
        none,    // it has no server's cookie yet
        bad,     // of no secret that is known, too old, or not of this form
        good,    // the address is its own
        to_renew // the same, by a cookie that is getting old, or of the second secret
    };

    struct Checked {
        Verdict verdict;
        dns::Cookie answer; // to be sent back: the same where it is good, else a new one

        [[nodiscard]] bool valid() const noexcept {
            return verdict == Verdict::good || verdict == Verdict::to_renew;
        }
    };

    explicit Cookies(const CookieSecrets& secrets) noexcept;

    /// The time by CLOCK_REALTIME.
    [[nodiscard]] static Time wall_time() noexcept;

    /// Looks at an option, of a size that dns::is_cookie_size(), that came from `client` at `now`.
    [[nodiscard]] Checked check(dns::Octets option, const AddressBits& client,
                                Time now) const noexcept;

    /// A new one for a client, whose own cookie is dns::client_cookie_size octets.
    [[nodiscard]] dns::Cookie make(dns::Octets client_cookie, const AddressBits& client,
                                   Time now) const noexcept;

  private:
    [[nodiscard]] Verdict verdict_on(dns::Octets option, const AddressBits& client,
                                     Time now) const noexcept;

    SipHash24 first_;
    std::optional<SipHash24> second_;
};

} // namespace dotproxy
