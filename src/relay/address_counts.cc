// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/address_counts.hh"

#include <algorithm>
#include <cstring>

namespace dotproxy {

AddressCounts::AddressCounts(std::uint32_t capacity)
    : groups_{capacity}, chains_{capacity}, hash_{SipHash::draw_key()} {}

AddressCounts::Key AddressCounts::key_of(const std::optional<Address>& peer) noexcept {
    Key key{};
    if (!peer) {
        return key;
    }
    constexpr std::uint8_t v4 = 4;
    constexpr std::uint8_t v6 = 6;
    constexpr std::size_t v4_within_mapped = 12;
    if (!peer->is_v6()) {
        sockaddr_in name{};
        std::memcpy(&name, peer->data(), sizeof name);
        key[0] = v4;
        std::memcpy(&key[1], &name.sin_addr, sizeof name.sin_addr);
        return key;
    }
    sockaddr_in6 name{};
    std::memcpy(&name, peer->data(), sizeof name);
    const auto& octets = name.sin6_addr.s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&name.sin6_addr) != 0) {
        // From a socket for both families that was passed to us: all of IPv4 is in one /64 there.
        key[0] = v4;
        std::copy(std::begin(octets) + v4_within_mapped, std::end(octets), key.begin() + 1);
    } else {
        key[0] = v6;
        std::copy_n(std::begin(octets), key.size() - 1, key.begin() + 1);
    }
    return key;
}

AddressCounts::Place AddressCounts::enter(const std::optional<Address>& peer) noexcept {
    const Key key = key_of(peer);
    const std::uint64_t hash = hash_(key);
    Group* group = chains_.find(hash, [&key](const Group& other) { return other.key == key; });
    if (group == nullptr) {
        group = groups_.create();
        if (group == nullptr) {
            return {};
        }
        group->key = key;
        chains_.insert(*group, hash);
    }
    ++group->members;
    return {*this, *group};
}

void AddressCounts::leave(Group& group) noexcept {
    if (--group.members > 0) {
        return;
    }
    chains_.remove(group, hash_(group.key));
    groups_.destroy(&group);
}

} // namespace dotproxy
