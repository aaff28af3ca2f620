// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/interfaces.hh"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <memory>
#include <net/if.h>
#include <optional>
#include <sys/socket.h>
#include <system_error>

namespace dotproxy {

namespace {

// What claims to be on-link and is wider than this is a mistake in somebody's netmask, which shall
// not let the Internet in.
constexpr unsigned widest_v4 = 8;
constexpr unsigned widest_v6 = 16;

std::optional<Address> address_in(const sockaddr* name) noexcept {
    sockaddr_storage storage{};
    if (name == nullptr) {
        return std::nullopt;
    }
    if (name->sa_family == AF_INET) {
        std::memcpy(&storage, name, sizeof(sockaddr_in));
    } else if (name->sa_family == AF_INET6) {
        std::memcpy(&storage, name, sizeof(sockaddr_in6));
    }
    return Address::from(storage);
}

/// How many bits are set in a mask.
unsigned length_of(const sockaddr* mask) noexcept {
    const auto address = address_in(mask);
    if (!address) {
        return Prefix::host_length;
    }
    const AddressBits bits = AddressBits::of(*address);
    return static_cast<unsigned>(address->is_v6()
                                     ? std::popcount(bits.high) + std::popcount(bits.low)
                                     : std::popcount(static_cast<std::uint32_t>(bits.low)));
}

void add(std::vector<Prefix>& prefixes, const Prefix& prefix) {
    if (std::ranges::find(prefixes, prefix) == prefixes.end()) {
        prefixes.push_back(prefix);
    }
}

void add_on_link(std::vector<Prefix>& prefixes, const ifaddrs& interface) {
    // The other end, where a link has but one; else the network that the address is in.
    const bool peer =
        (interface.ifa_flags & IFF_POINTOPOINT) != 0 && interface.ifa_dstaddr != nullptr;
    const auto address = address_in(peer ? interface.ifa_dstaddr : interface.ifa_addr);
    if (!address || address->is_wildcard()) {
        return;
    }
    const unsigned length = length_of(interface.ifa_netmask);
    if (length >= (address->is_v6() ? widest_v6 : widest_v4)) {
        add(prefixes, Prefix::of(AddressBits::of(*address), length, length));
    }
}

} // namespace

InterfaceAddresses interface_addresses() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) {
        throw std::system_error{errno, std::generic_category(), "the addresses of interfaces"};
    }
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> holder{list, &::freeifaddrs};
    InterfaceAddresses found;
    for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
        const auto own = address_in(one->ifa_addr);
        if (!own || own->is_loopback() || (one->ifa_flags & IFF_UP) == 0) {
            continue;
        }
        const AddressBits bits = AddressBits::of(*own);
        found.own.push_back(bits);
        add(found.on_link, Prefix{bits, Prefix::host_length}); // who asks from here is no stranger
        add_on_link(found.on_link, *one);
    }
    return found;
}

std::vector<AddressBits> own_addresses() {
    try {
        return interface_addresses().own;
    } catch (const std::system_error&) {
        return {};
    }
}

InterfaceWatch::InterfaceWatch() noexcept
    : socket_{::socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE)} {
    sockaddr_nl name{};
    name.nl_family = AF_NETLINK;
    // Also of links: the addresses of one that is down are not counted, and not told when it goes
    // up.
    name.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_LINK;
    if (socket_ &&
        ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
        socket_.reset();
    }
}

bool InterfaceWatch::changed() noexcept {
    std::array<char, 16384> told; // NOLINT(*-member-init): not looked at
    bool any = false;
    // Where too much was told for the socket to hold, that is told as well.
    while (socket_ && (::recv(socket_.get(), told.data(), told.size(), 0) > 0 || errno == ENOBUFS ||
                       errno == EINTR)) {
        any = true;
    }
    return any;
}

} // namespace dotproxy
