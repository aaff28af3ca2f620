// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "proxy/address_counts.hh"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>

namespace dotproxy {

namespace {

SipHash::Key draw_key() {
    std::random_device random;
    const auto word = [&random] { return std::uint64_t{random()} << 32U | random(); };
    return {.k0 = word(), .k1 = word()};
}

} // namespace

void AddressCounts::Free::operator()(Group** buckets) const noexcept {
    std::free(buckets); // NOLINT(cppcoreguidelines-no-malloc): see the constructor
}

AddressCounts::AddressCounts(std::uint32_t capacity)
    : groups_{capacity}, bucket_mask_{std::bit_ceil(std::size_t{capacity}) - 1},
      // NOLINTBEGIN(cppcoreguidelines-no-malloc,bugprone-sizeof-expression): an array of pointers
      // from calloc, whose pages stay the kernel's until they are used.
      buckets_{static_cast<Group**>(std::calloc(bucket_mask_ + 1, sizeof(Group*)))},
      // NOLINTEND(cppcoreguidelines-no-malloc,bugprone-sizeof-expression)
      hash_{draw_key()} {
    if (!buckets_) {
        throw std::bad_alloc{};
    }
}

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

AddressCounts::Group*& AddressCounts::bucket(const Key& key) noexcept {
    return buckets_[hash_(key) & bucket_mask_];
}

AddressCounts::Place AddressCounts::enter(const std::optional<Address>& peer) noexcept {
    const Key key = key_of(peer);
    Group*& first = bucket(key);
    Group* group = first;
    while (group != nullptr && group->key != key) {
        group = group->chain;
    }
    if (group == nullptr) {
        group = groups_.create();
        if (group == nullptr) {
            return {};
        }
        group->key = key;
        group->chain = first;
        first = group;
    }
    ++group->members;
    return {*this, *group};
}

void AddressCounts::leave(Group& group) noexcept {
    if (--group.members > 0) {
        return;
    }
    Group** link = &bucket(group.key);
    while (*link != &group) {
        link = &(*link)->chain;
    }
    *link = group.chain;
    groups_.destroy(&group);
}

} // namespace dotproxy
