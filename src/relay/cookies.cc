// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A cookie, in octets: the client's 8; version 1; reserved 3; time 4; hash 8. The hash is over all
// before it and the client's address, 4 octets or 16.

#include "relay/cookies.hh"

#include <algorithm>
#include <array>
#include <cstring>

namespace dotproxy {

namespace {

constexpr std::size_t version_at = dns::client_cookie_size;
constexpr std::size_t time_at = version_at + 4;
constexpr std::size_t hash_at = time_at + 4;
constexpr std::uint8_t version = 1;

std::uint64_t load_little(dns::Octets octets) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 8; i > 0; --i) {
        value = value << 8U | octets[i - 1];
    }
    return value;
}

void store_big(dns::MutableOctets octets, std::uint64_t value) noexcept {
    dns::store32(octets, 0, static_cast<std::uint32_t>(value >> 32U));
    dns::store32(octets, 4, static_cast<std::uint32_t>(value));
}

SipHash24 keyed(const CookieSecret& secret) noexcept {
    const dns::Octets octets{secret};
    return SipHash24{{.k0 = load_little(octets), .k1 = load_little(octets.subspan(8))}};
}

/// The hash of a cookie, in whose last octets it is to stand.
std::uint64_t hash_of(const SipHash24& hash, dns::Octets cookie,
                      const AddressBits& client) noexcept {
    std::array<std::uint8_t, hash_at + 16> input; // NOLINT(*-member-init): what is used is written
    std::ranges::copy(cookie.first(hash_at), input.begin());
    const dns::MutableOctets address = std::span{input}.subspan(hash_at);
    if (client.is_v4()) {
        dns::store32(address, 0, static_cast<std::uint32_t>(client.low));
        return hash(std::span{input}.first(hash_at + 4));
    }
    store_big(address, client.high);
    store_big(address.subspan(8), client.low);
    return hash(input);
}

} // namespace

Cookies::Cookies(const CookieSecrets& secrets) noexcept : first_{keyed(secrets.first)} {
    if (secrets.second) {
        second_ = keyed(*secrets.second);
    }
}

Cookies::Time Cookies::wall_time() noexcept {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<Time>(std::chrono::floor<std::chrono::seconds>(since).count());
}

Cookies::Checked Cookies::check(dns::Octets option, const AddressBits& client,
                                Time now) const noexcept {
    Checked checked{.verdict = verdict_on(option, client, now), .answer = {}};
    if (checked.verdict == Verdict::good) {
        std::ranges::copy(option, checked.answer.begin());
    } else {
        checked.answer = make(option.first(dns::client_cookie_size), client, now);
    }
    return checked;
}

Cookies::Verdict Cookies::verdict_on(dns::Octets option, const AddressBits& client,
                                     Time now) const noexcept {
    if (option.size() == dns::client_cookie_size) {
        return Verdict::none;
    }
    if (option.size() != dns::Cookie{}.size() || option[version_at] != version) {
        return Verdict::bad;
    }
    const auto age = static_cast<std::int32_t>(now - dns::load32(option, time_at));
    if (age > oldest || age < -from_future) {
        return Verdict::bad;
    }
    const std::uint64_t hash = load_little(option.subspan(hash_at));
    if (hash == hash_of(first_, option, client)) {
        return age > renewed_after ? Verdict::to_renew : Verdict::good;
    }
    return second_ && hash == hash_of(*second_, option, client) ? Verdict::to_renew : Verdict::bad;
}

dns::Cookie Cookies::make(dns::Octets client_cookie, const AddressBits& client,
                          Time now) const noexcept {
    dns::Cookie cookie{};
    const dns::MutableOctets octets{cookie};
    std::ranges::copy(client_cookie, octets.begin());
    octets[version_at] = version;
    dns::store32(octets, time_at, now);
    std::uint64_t hash = hash_of(first_, octets, client);
    for (std::uint8_t& octet : octets.subspan(hash_at)) {
        octet = static_cast<std::uint8_t>(hash & 0xffU);
        hash >>= 8U;
    }
    return cookie;
}

} // namespace dotproxy
