// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// AddressCounts: how many of something each source has with this worker, connections (C15) or
// questions that wait. Who is near counts for itself. Beyond, a host has a /64 of IPv6 for nothing,
// and who has one has the network around it: both are counted (limits 9). The memory for all of it
// is reserved at the start; the hash is keyed, so that nobody can choose addresses that fall into
// one bucket (L19).

#pragma once

#include "base/address.hh"
#include "base/chains.hh"
#include "base/prefix.hh"
#include "base/siphash.hh"
#include "base/slab.hh"

#include <cstdint>
#include <utility>

namespace dotproxy {

class AddressCounts {
  private:
    /// All of one prefix.
    struct Group {
        Prefix prefix{};
        std::uint32_t members{0};
        Group* chain{nullptr}; // next in the same bucket
    };

  public:
    /// One of them that is counted, for as long as this lives (L48). Must not outlive the table.
    class Place {
      public:
        Place() noexcept = default;

        Place(Place&& other) noexcept
            : counts_{other.counts_}, own_{std::exchange(other.own_, nullptr)},
              around_{std::exchange(other.around_, nullptr)} {}

        Place& operator=(Place&& other) noexcept {
            std::swap(counts_, other.counts_);
            std::swap(own_, other.own_);
            std::swap(around_, other.around_);
            return *this;
        }

        ~Place() {
            for (Group* const group : {own_, around_}) {
                if (group != nullptr) {
                    counts_->leave(*group);
                }
            }
        }

        explicit operator bool() const noexcept { return own_ != nullptr; }

        /// How many places its source has, this one included.
        [[nodiscard]] std::uint32_t count() const noexcept { return own_->members; }

        /// How many the network around it has; 0 where it is near.
        [[nodiscard]] std::uint32_t count_around() const noexcept {
            return around_ != nullptr ? around_->members : 0;
        }

        /// Whether its source has more than `left`, which are those that there are for others, or
        /// its network three times as many: so one that never stops has half of all, n have a part
        /// of n + 1 each, and a network never has more than three quarters (after Choudhury and
        /// Hahne's dynamic thresholds; limits 33).
        [[nodiscard]] bool exceeds(std::uint64_t left) const noexcept {
            return count() > left || count_around() > around_times * left;
        }

        static constexpr std::uint64_t around_times = 3;

      private:
        friend class AddressCounts;

        Place(AddressCounts& counts, Group& own, Group* around) noexcept
            : counts_{&counts}, own_{&own}, around_{around} {}

        AddressCounts* counts_{nullptr};
        Group* own_{nullptr};
        Group* around_{nullptr};
    };

    /// Room for so many sources at a time. Throws when there is no memory or no randomness.
    explicit AddressCounts(std::uint32_t capacity);

    /// Counts one more from `peer`, who is `near` where its address counts for itself alone. An
    /// empty place: there is no room for another source.
    [[nodiscard]] Place enter(const Address& peer, bool near) noexcept;

    /// How many sources, and networks around them, have any now.
    [[nodiscard]] std::uint32_t sources() const noexcept { return groups_.size(); }

  private:
    [[nodiscard]] Group* join(const Prefix& prefix) noexcept;
    [[nodiscard]] std::uint64_t hash_of(const Prefix& prefix) const noexcept;
    void leave(Group& group) noexcept;

    Slab<Group> groups_;
    Chains<Group> chains_;
    SipHash hash_;
};

} // namespace dotproxy
