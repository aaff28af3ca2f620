// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A zone is a prefix of an address: whole octets for IPv4, as many nibbles for IPv6. Where RFCs
// 6303 and 7793 list zones one by one whose first or second octet counts up, one line stands for
// all.

#include "dns/reverse.hh"

#include <algorithm>

namespace dotproxy::dns {

namespace {

/// Labels of "in-addr.arpa" and "ip6.arpa".
constexpr std::size_t suffix_labels = 2;

struct Block4 {
    std::uint8_t octets; // how many of them make the zone
    std::array<std::uint8_t, 4> low;
    std::array<std::uint8_t, 4> high;
};

constexpr std::array<Block4, 11> blocks4{{
    {1, {0}, {0}},
    {1, {10}, {10}},
    {2, {100, 64}, {100, 127}},
    {1, {127}, {127}},
    {2, {169, 254}, {169, 254}},
    {2, {172, 16}, {172, 31}},
    {3, {192, 0, 2}, {192, 0, 2}},
    {2, {192, 168}, {192, 168}},
    {3, {198, 51, 100}, {198, 51, 100}},
    {3, {203, 0, 113}, {203, 0, 113}},
    {4, {255, 255, 255, 255}, {255, 255, 255, 255}},
}};

constexpr std::array<std::uint8_t, 4> loopback4{127, 0, 0, 1};

constexpr std::array<std::string_view, 8> blocks6{
    "00000000000000000000000000000000",
    "00000000000000000000000000000001",
    "20010db8",
    "fd",
    "fe8",
    "fe9",
    "fea",
    "feb",
};

constexpr std::string_view loopback6 = blocks6[1];

// An octet as it is written in in-addr.arpa (RFC 1035, section 3.5): no leading zero.
std::optional<std::uint8_t> octet_of(Octets label) noexcept {
    if (label.size() > 3 || (label.size() > 1 && label[0] == '0')) {
        return std::nullopt;
    }
    unsigned value = 0;
    for (const std::uint8_t digit : label) {
        if (digit < '0' || digit > '9') {
            return std::nullopt;
        }
        value = value * 10 + (digit - std::uint8_t{'0'});
    }
    return value <= 0xff ? std::optional{static_cast<std::uint8_t>(value)} : std::nullopt;
}

/// The first parts of an address that a name spells, most significant first.
template <std::size_t Most>
struct Prefix {
    std::array<std::uint8_t, Most> parts{};
    std::size_t count{0};

    // Whether nothing but these parts stands in front of the suffix.
    [[nodiscard]] bool is_whole(const Labels& labels) const noexcept {
        return labels.count() == count + suffix_labels;
    }
};

template <std::size_t Most>
ReverseZone zone_of(const Labels& labels, std::size_t parts, const Prefix<Most>& address,
                    bool towards_loopback) noexcept {
    const bool on_the_way = towards_loopback && address.is_whole(labels);
    return {.apex = labels.start(parts + suffix_labels - 1),
            .holds_loopback = on_the_way,
            .is_loopback = on_the_way && address.count == Most};
}

std::optional<ReverseZone> find4(const Labels& labels) noexcept {
    Prefix<4> address;
    while (address.count < address.parts.size() && address.count + suffix_labels < labels.count()) {
        const std::optional<std::uint8_t> octet =
            octet_of(labels.text(address.count + suffix_labels));
        if (!octet) {
            break;
        }
        address.parts[address.count++] = *octet;
    }
    for (const Block4& block : blocks4) {
        bool inside = block.octets <= address.count;
        for (std::size_t i = 0; inside && i < block.octets; ++i) {
            inside = block.low[i] <= address.parts[i] && address.parts[i] <= block.high[i];
        }
        if (inside) {
            const bool towards_loopback = std::equal(
                loopback4.begin(), loopback4.begin() + static_cast<std::ptrdiff_t>(address.count),
                address.parts.begin());
            return zone_of(labels, block.octets, address, towards_loopback);
        }
    }
    return std::nullopt;
}

std::optional<ReverseZone> find6(const Labels& labels) noexcept {
    Prefix<32> address;
    while (address.count < address.parts.size() && address.count + suffix_labels < labels.count()) {
        const Octets nibble = labels.text(address.count + suffix_labels);
        if (nibble.size() != 1) {
            break;
        }
        address.parts[address.count++] = nibble[0];
    }
    const auto starts_with = [&address](std::string_view block) {
        return block.size() <= address.count &&
               std::equal(block.begin(), block.end(), address.parts.begin());
    };
    const auto* const block = std::ranges::find_if(blocks6, starts_with);
    if (block == blocks6.end()) {
        return std::nullopt;
    }
    return zone_of(labels, block->size(), address, *block == loopback6);
}

} // namespace

// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): every query comes by here
Labels::Labels(Octets name) noexcept : name_{name} {
    for (std::size_t at = 0; name[at] != 0; at += name[at] + 1U) {
        starts_[count_++] = static_cast<std::uint8_t>(at);
    }
}

std::optional<ReverseZone> find_reverse_zone(const Labels& labels) noexcept {
    if (labels.is(1, "in-addr")) {
        return find4(labels);
    }
    if (labels.is(1, "ip6")) {
        return find6(labels);
    }
    return std::nullopt;
}

} // namespace dotproxy::dns
