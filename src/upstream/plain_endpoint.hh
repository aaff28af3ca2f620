// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// PlainEndpoint: one address of an upstream that is asked in the clear, and how it fares.

#pragma once

#include "base/address.hh"
#include "base/clock.hh"
#include "config/config.hh"
#include "shared/counters.hh"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace dotproxy {

class PlainEndpoint {
  public:
    /// The one of that number in its group. `upstream` and `counts` outlive it.
    PlainEndpoint(unsigned number, const UpstreamConfig& upstream, const Address& address,
                  UpstreamCounts& counts) noexcept
        : bit_{std::uint64_t{1} << std::min(number, last_bit)}, upstream_{upstream},
          address_{address}, counts_{counts} {}

    /// What says in Inquiry::asked that it was.
    [[nodiscard]] std::uint64_t bit() const noexcept { return bit_; }

    [[nodiscard]] const Address& address() const noexcept { return address_; }

    [[nodiscard]] const UpstreamConfig& upstream() const noexcept { return upstream_; }

    [[nodiscard]] UpstreamCounts& counts() noexcept { return counts_; }

    /// "192.168.1.1:53 of group router", for the log.
    [[nodiscard]] std::string text() const { return upstream_.text(address_); }

    /// Whether the last questions to it were in vain.
    [[nodiscard]] bool failing() const noexcept { return failures_ >= few; }

    /// Whether the last one was, for whatever reason().
    [[nodiscard]] bool in_trouble() const noexcept { return failures_ > 0; }

    /// When it is first choice again.
    [[nodiscard]] TimePoint retry_at() const noexcept { return retry_at_; }

    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

    /// A question was in vain. true: that it fails is news.
    bool fail(std::string reason, TimePoint now) noexcept {
        reason_ = std::move(reason);
        ++failures_;
        put_off(now);
        return failures_ == few;
    }

    /// One that fails is asked: not again before that may be known.
    void put_off(TimePoint now) noexcept {
        using namespace std::chrono_literals;
        constexpr unsigned most_doublings = 5;
        if (failing()) { // else a datagram was lost
            retry_at_ = now + 250ms * (1U << std::min(failures_ - few, most_doublings));
        }
    }

    /// It answered, whatever it was. true: it had failed.
    bool recover() noexcept {
        retry_at_ = TimePoint::min();
        return std::exchange(failures_, 0U) >= few;
    }

    /// Whether it understands EDNS, as far as it has shown (RFC 6891, section 6.2.2).
    [[nodiscard]] bool edns(TimePoint now) const noexcept { return now >= edns_from_; }

    /// It answers only what is asked without. It may learn, so it is tried again in an hour.
    void note_no_edns(TimePoint now) noexcept { edns_from_ = now + std::chrono::hours{1}; }

  private:
    static constexpr unsigned few = 2;
    static constexpr unsigned last_bit = 63; // which all beyond share

    std::uint64_t bit_;
    const UpstreamConfig& upstream_;
    Address address_;
    UpstreamCounts& counts_;
    std::string reason_;
    TimePoint retry_at_{TimePoint::min()};
    unsigned failures_{0}; // in a row
    TimePoint edns_from_{TimePoint::min()};
};

} // namespace dotproxy
