// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Address: an IPv4 or IPv6 socket address by value.

#pragma once

#include <cstdint>
#include <netinet/in.h>
#include <optional>
#include <span>
#include <string>
#include <sys/socket.h>

namespace dotproxy {

/// An IP address and a port.
class Address {
  public:
    /// 0.0.0.0 port 0.
    Address() noexcept;
    explicit Address(const sockaddr_in& v4) noexcept;
    explicit Address(const sockaddr_in6& v6) noexcept;

    /// Reads an address literal: "192.0.2.1", "2001:db8::1", "fe80::1%eth0". nullopt when it is
    /// none.
    [[nodiscard]] static std::optional<Address> parse(const std::string& literal,
                                                      std::uint16_t port) noexcept;
    /// Takes what the kernel wrote; nullopt for families other than IPv4 and IPv6.
    [[nodiscard]] static std::optional<Address> from(const sockaddr_storage& storage) noexcept;

    [[nodiscard]] int family() const noexcept { return any_.sa_family; }

    [[nodiscard]] bool is_v6() const noexcept { return family() == AF_INET6; }

    [[nodiscard]] std::uint16_t port() const noexcept;
    /// The address alone, in the order of the network: four octets or sixteen.
    [[nodiscard]] std::span<const std::uint8_t> host_octets() const noexcept;
    /// 0.0.0.0 or ::
    [[nodiscard]] bool is_wildcard() const noexcept;
    /// Of this host alone: 127.0.0.0/8, ::1, and the first as an IPv4-mapped address.
    [[nodiscard]] bool is_loopback() const noexcept;
    /// Whether what is sent to `other` reaches a socket that is bound to this one: equal, or the
    /// wildcard of its family with its port.
    [[nodiscard]] bool covers(const Address& other) const noexcept;

    [[nodiscard]] const sockaddr* data() const noexcept { return &any_; }

    [[nodiscard]] sockaddr* data() noexcept { return &any_; }

    [[nodiscard]] const std::uint8_t* octets() const noexcept {
        return reinterpret_cast<const std::uint8_t*>(this);
    }

    /// The octets of the sockaddr that are in use.
    [[nodiscard]] socklen_t size() const noexcept {
        return is_v6() ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    }

    /// The room there is for the kernel to write a sockaddr to.
    static constexpr socklen_t capacity = sizeof(sockaddr_in6);

    /// "192.0.2.1" or "2001:db8::1"
    [[nodiscard]] std::string host() const;
    /// "192.0.2.1:853" or "[2001:db8::1]:853"
    [[nodiscard]] std::string text() const;

    friend bool operator==(const Address& a, const Address& b) noexcept;

  private:
    union {
        sockaddr any_;
        sockaddr_in v4_;
        sockaddr_in6 v6_;
    };
};

} // namespace dotproxy
