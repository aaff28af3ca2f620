// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/address_counts.hh"

#include "relay/standing.hh"

#include <array>
#include <cstring>

namespace dotproxy {

AddressCounts::AddressCounts(std::uint32_t capacity)
    : groups_{2 * capacity}, chains_{2 * capacity}, hash_{SipHash::draw_key()} {}

AddressCounts::Place AddressCounts::enter(const Address& peer, bool near) noexcept {
    const AddressBits bits = AddressBits::of(peer);
    if (near) {
        Group* const own = join(Prefix{bits, Prefix::host_length});
        return own != nullptr ? Place{*this, *own, nullptr} : Place{};
    }
    Group* const own = join(Prefix::of(bits, alone_v4, alone_v6));
    Group* const around = own != nullptr ? join(Prefix::of(bits, around_v4, around_v6)) : nullptr;
    if (around == nullptr && own != nullptr) {
        leave(*own);
    }
    return around != nullptr ? Place{*this, *own, around} : Place{};
}

AddressCounts::Group* AddressCounts::join(const Prefix& prefix) noexcept {
    const std::uint64_t hash = hash_of(prefix);
    Group* group =
        chains_.find(hash, [&prefix](const Group& other) { return other.prefix == prefix; });
    if (group == nullptr) {
        group = groups_.create();
        if (group == nullptr) {
            return nullptr;
        }
        group->prefix = prefix;
        chains_.insert(*group, hash);
    }
    ++group->members;
    return group;
}

std::uint64_t AddressCounts::hash_of(const Prefix& prefix) const noexcept {
    const std::array<std::uint64_t, 3> words{prefix.bits().high, prefix.bits().low,
                                             prefix.length()};
    std::array<std::uint8_t, sizeof words> octets; // NOLINT(*-member-init): copied whole
    std::memcpy(octets.data(), words.data(), sizeof words);
    return hash_(octets);
}

void AddressCounts::leave(Group& group) noexcept {
    if (--group.members > 0) {
        return;
    }
    chains_.remove(group, hash_of(group.prefix));
    groups_.destroy(&group);
}

} // namespace dotproxy
