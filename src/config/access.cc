// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/access.hh"

#include <algorithm>
#include <array>

namespace dotproxy {

namespace {

Prefix literal(const char* text) noexcept {
    return Prefix::parse(text).value();
}

using Who = AccessRule::Who;

std::span<const Prefix> prefixes_of(Who who) noexcept {
    static const std::array any{literal("0.0.0.0/0"), literal("::/0")};
    static const std::array loopback{literal("127.0.0.0/8"), literal("::1")};
    // Not 100.64.0.0/10 (RFC 6598), which may be the outside of a router: only where it is on-link.
    static const std::array local{
        literal("127.0.0.0/8"),    literal("::1"),                                      //
        literal("10.0.0.0/8"),     literal("172.16.0.0/12"), literal("192.168.0.0/16"), // RFC 1918
        literal("169.254.0.0/16"), literal("fe80::/10"), // RFC 3927, RFC 4291
        literal("fc00::/7"),                             // RFC 4193
    };
    switch (who) {
    case Who::any:
        return any;
    case Who::local:
        return local;
    case Who::loopback:
        return loopback;
    case Who::prefix:
        break;
    }
    return {};
}

} // namespace

Access::Access() {
    say({.who = Who::local});
}

Access::Access(std::span<const AccessRule> rules) {
    // What is said of more comes first, and is said anew of less.
    for (const Who who : {Who::any, Who::local, Who::loopback, Who::prefix}) {
        for (const AccessRule& rule : rules) {
            if (rule.who == who) {
                say(rule);
            }
        }
    }
}

void Access::say(const AccessRule& rule) {
    if (rule.who == Who::prefix) {
        prefixes_.set(rule.prefix, rule.allowed);
    }
    if (rule.who == Who::local) {
        on_link_ = rule.allowed;
    }
    for (const Prefix& prefix : prefixes_of(rule.who)) {
        prefixes_.set(prefix, rule.allowed);
    }
}

bool Access::allows(const AddressBits& address, std::span<const Prefix> on_link) const noexcept {
    const auto* const said = prefixes_.find(address);
    const bool allowed = said != nullptr && said->second;
    if (!on_link_ || *on_link_ == allowed) {
        return allowed;
    }
    const bool closer = std::ranges::any_of(on_link, [&](const Prefix& prefix) {
        return prefix.contains(address) &&
               (said == nullptr || prefix.length() > said->first.length());
    });
    return closer ? *on_link_ : allowed;
}

bool Access::allows_any() const noexcept {
    return std::ranges::any_of(prefixes_of(Who::any), [this](const Prefix& all) {
        return std::ranges::any_of(
            prefixes_, [&all](const auto& entry) { return entry.first == all && entry.second; });
    });
}

bool is_public(const AddressBits& address) noexcept {
    static const std::array others{
        literal("0.0.0.0/8"),      literal("100.64.0.0/10"),
        literal("192.0.2.0/24"),   literal("198.51.100.0/24"),
        literal("203.0.113.0/24"), literal("198.18.0.0/15"),
        literal("224.0.0.0/3"),    literal("2001:db8::/32"),
        literal("ff00::/8"),       literal("::"),
    };
    return !is_always_local(address) && std::ranges::none_of(others, [&address](const Prefix& one) {
        return one.contains(address);
    });
}

bool is_always_local(const AddressBits& address) noexcept {
    return std::ranges::any_of(prefixes_of(Who::local), [&address](const Prefix& prefix) {
        return prefix.contains(address);
    });
}

} // namespace dotproxy
