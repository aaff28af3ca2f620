// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// AddressCounts: how many of something each client address has with this worker, connections (C15)
// or questions that wait. An IPv4
// address counts for itself, an IPv6 one for its /64, which is what one host can have for nothing.
// The memory for all of it is reserved at the start; the hash is keyed, so that nobody can choose
// addresses that fall into one bucket (L19).

#pragma once

#include "base/address.hh"
#include "base/chains.hh"
#include "base/siphash.hh"
#include "base/slab.hh"

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

namespace dotproxy {

class AddressCounts {
  private:
    // A family and what counts of the address.
    using Key = std::array<std::uint8_t, 9>;

    /// All with one key.
    struct Group {
        Key key{};
        std::uint32_t members{0};
        Group* chain{nullptr}; // next in the same bucket
    };

  public:
    /// One of them that is counted, for as long as this lives (L48). Must not outlive the table.
    class Place {
      public:
        Place() noexcept = default;

        Place(Place&& other) noexcept
            : counts_{other.counts_}, group_{std::exchange(other.group_, nullptr)} {}

        Place& operator=(Place&& other) noexcept {
            std::swap(counts_, other.counts_);
            std::swap(group_, other.group_);
            return *this;
        }

        ~Place() {
            if (group_ != nullptr) {
                counts_->leave(*group_);
            }
        }

        explicit operator bool() const noexcept { return group_ != nullptr; }

        /// How many places its address has, this one included.
        [[nodiscard]] std::uint32_t count() const noexcept { return group_->members; }

      private:
        friend class AddressCounts;

        Place(AddressCounts& counts, Group& group) noexcept : counts_{&counts}, group_{&group} {}

        AddressCounts* counts_{nullptr};
        Group* group_{nullptr};
    };

    /// Room for so many addresses at a time. Throws when there is no memory or no randomness.
    explicit AddressCounts(std::uint32_t capacity);

    /// Counts one more from `peer`; those whose address is not known count together. An
    /// empty place: there is no room for another address.
    [[nodiscard]] Place enter(const std::optional<Address>& peer) noexcept;

    /// How many addresses have any now.
    [[nodiscard]] std::uint32_t addresses() const noexcept { return groups_.size(); }

  private:
    [[nodiscard]] static Key key_of(const std::optional<Address>& peer) noexcept;
    void leave(Group& group) noexcept;

    Slab<Group> groups_;
    Chains<Group> chains_;
    SipHash hash_;
};

} // namespace dotproxy
