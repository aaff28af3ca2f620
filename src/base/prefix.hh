// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Prefix: the addresses whose first bits are the same. PrefixMap: what is said of prefixes, of
// which the longest that an address is in counts.

#pragma once

#include "base/address.hh"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <endian.h>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dotproxy {

/// An IP address as a number of 128 bits. IPv4 is what it is within IPv6, ::ffff:0:0/96 (RFC 4291,
/// section 2.5.5.2), so that a client is the same one on whatever socket it comes in.
struct AddressBits {
    std::uint64_t high{0};
    std::uint64_t low{0};

    [[nodiscard]] static AddressBits of(const Address& address) noexcept {
        AddressBits bits;
        if (address.is_v6()) {
            constexpr std::size_t at = offsetof(sockaddr_in6, sin6_addr);
            std::memcpy(&bits.high, address.octets() + at, sizeof bits.high);
            std::memcpy(&bits.low, address.octets() + at + sizeof bits.high, sizeof bits.low);
            return {.high = be64toh(bits.high), .low = be64toh(bits.low)};
        }
        std::uint32_t v4 = 0;
        std::memcpy(&v4, address.octets() + offsetof(sockaddr_in, sin_addr), sizeof v4);
        return {.high = 0, .low = std::uint64_t{0xffff} << 32U | be32toh(v4)};
    }

    [[nodiscard]] bool is_v4() const noexcept { return high == 0 && low >> 32U == 0xffff; }

    friend bool operator==(const AddressBits&, const AddressBits&) noexcept = default;
};

class Prefix {
  public:
    /// All of IPv6, ::/0.
    Prefix() noexcept = default;

    /// The first `length` bits of `address`, 0 to 128; of an IPv4 address its first `length` - 96.
    Prefix(const AddressBits& address, unsigned length) noexcept
        : bits_{address.high & mask(length), address.low & mask(length > 64 ? length - 64 : 0)},
          length_{static_cast<std::uint8_t>(length)}, v4_{address.is_v4() && length >= v4_offset} {}

    /// The first `v4` bits of an IPv4 address, `v6` of an IPv6 one.
    [[nodiscard]] static Prefix of(const AddressBits& address, unsigned v4, unsigned v6) noexcept {
        return {address, address.is_v4() ? v4 + v4_offset : v6};
    }

    /// Reads "192.0.2.0/24" or "2001:db8::/32"; an address alone is a prefix of its own. Bits
    /// beyond the length are cleared. nullopt when it is none.
    [[nodiscard]] static std::optional<Prefix> parse(const std::string& literal) noexcept;

    [[nodiscard]] bool contains(const AddressBits& address) const noexcept {
        return ((address.high ^ bits_.high) & mask(length_)) == 0 &&
               ((address.low ^ bits_.low) & mask(length_ > 64 ? length_ - 64U : 0)) == 0 &&
               address.is_v4() == v4_;
    }

    /// Whether each of its addresses is in this one.
    [[nodiscard]] bool contains(const Prefix& other) const noexcept {
        return length_ <= other.length_ && contains(other.bits_);
    }

    /// Whether some address is in both: one of two prefixes then contains the other.
    [[nodiscard]] bool overlaps(const Prefix& other) const noexcept {
        return contains(other) || other.contains(*this);
    }

    [[nodiscard]] bool is_v4() const noexcept { return v4_; }

    /// Its first address.
    [[nodiscard]] const AddressBits& bits() const noexcept { return bits_; }

    /// 0 to 128; for IPv4 from 96.
    [[nodiscard]] unsigned length() const noexcept { return length_; }

    /// "192.0.2.0/24", "2001:db8::/32"; of a single address that alone.
    [[nodiscard]] std::string text() const;

    friend bool operator==(const Prefix&, const Prefix&) noexcept = default;

    static constexpr unsigned v4_offset = 96; // where an IPv4 address begins
    static constexpr unsigned host_length = 128;

  private:
    /// The first `length` bits of 64.
    [[nodiscard]] static constexpr std::uint64_t mask(unsigned length) noexcept {
        return length == 0 ? 0 : ~std::uint64_t{0} << (length < 64 ? 64 - length : 0);
    }

    AddressBits bits_{};
    std::uint8_t length_{0};
    bool v4_{false};
};

/// `Value`s of prefixes. A look-up takes a step of a nanosecond for each that is not the one.
template <class Value>
class PrefixMap {
  public:
    using Entry = std::pair<Prefix, Value>;

    /// What is said of a prefix, in place of what was said of it before.
    void set(const Prefix& prefix, Value value) {
        const auto same = std::ranges::find(entries_, prefix, &Entry::first);
        if (same != entries_.end()) {
            same->second = std::move(value);
            return;
        }
        const auto shorter = [&prefix](const Entry& entry) {
            return entry.first.length() <= prefix.length();
        };
        entries_.insert(std::ranges::find_if(entries_, shorter), {prefix, std::move(value)});
    }

    /// The longest prefix that `address` is in and what is said of it, or nullptr.
    [[nodiscard]] const Entry* find(const AddressBits& address) const noexcept {
        const auto in = [&address](const Entry& entry) { return entry.first.contains(address); };
        const auto found = std::ranges::find_if(entries_, in);
        return found == entries_.end() ? nullptr : &*found;
    }

    [[nodiscard]] auto begin() const noexcept { return entries_.begin(); }

    [[nodiscard]] auto end() const noexcept { return entries_.end(); }

  private:
    std::vector<Entry> entries_; // the longest first
};

} // namespace dotproxy
