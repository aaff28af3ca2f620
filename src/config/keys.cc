// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/keys.hh"

#include <algorithm>
#include <numeric>

namespace dotproxy {

namespace {

/// How many letters must be put in, left out or replaced to make one word of the other.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1); // from a[0, i) to b[0, j), for the current i
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row[b.size()];
}

} // namespace

namespace keys {

std::vector<std::string> all() {
    constexpr std::array groups{"listen"sv,   "upstreams"sv, "routes"sv, "tls"sv,
                                "timeouts"sv, "limits"sv,    "cache"sv,  "log"sv};
    std::vector<std::string> paths;
    for (const auto name : top) {
        if (std::ranges::find(groups, name) == groups.end()) {
            paths.emplace_back(name);
        }
    }
    const auto add = [&paths](std::string_view prefix, Words names) {
        for (const auto name : names) {
            if (name != "networks"sv && name != "certificates"sv) { // whose members follow
                paths.emplace_back(prefix).append(name);
            }
        }
    };
    add("listen[].", listen);
    add("upstreams[].", upstream);
    add("routes[].", route);
    add("tls.", tls);
    add("tls.certificates[].", certificate);
    add("timeouts.", timeouts);
    add("limits.", limits);
    add("limits.networks[].", network);
    add("cache.", cache);
    add("log.", log);
    return paths;
}

} // namespace keys

std::string_view nearest(std::string_view word, Words known) {
    std::string_view best;
    // Further away than this, a suggestion misleads. And long words need not be compared at all.
    std::size_t least = 1 + word.size() / 3;
    for (const auto candidate : known) {
        if (word.size() > 2 * candidate.size()) {
            continue;
        }
        const std::size_t steps = distance(word, candidate);
        if (steps < least && steps < candidate.size()) {
            least = steps;
            best = candidate;
        }
    }
    return best;
}

std::string path_of(std::string_view name) {
    std::string found;
    for (std::string& path : keys::all()) {
        if (std::string_view{path}.substr(path.rfind('.') + 1) != name) {
            continue;
        }
        if (!found.empty()) {
            return {};
        }
        found = std::move(path);
    }
    return found;
}

std::string_view program_of(std::string_view word) noexcept {
    struct Foreign {
        std::string_view program;
        std::string_view word;
    };

    // What their example files begin with, or people copy into any file of a resolver.
    static constexpr std::array words{
        Foreign{"resolv.conf(5)", "nameserver"},
        Foreign{"resolv.conf(5)", "options"},
        Foreign{"resolv.conf(5)", "search"},
        Foreign{"unbound.conf or dnsmasq.conf", "server"},
        Foreign{"unbound.conf", "forward-addr"},
        Foreign{"unbound.conf", "forward-tls-upstream"},
        Foreign{"unbound.conf", "forward-zone"},
        Foreign{"unbound.conf", "interface"},
        Foreign{"unbound.conf", "remote-control"},
        Foreign{"unbound.conf", "tls-cert-bundle"},
        Foreign{"unbound.conf", "verbosity"},
        Foreign{"dnsmasq.conf", "bogus-priv"},
        Foreign{"dnsmasq.conf", "cache-size"},
        Foreign{"dnsmasq.conf", "domain-needed"},
        Foreign{"dnsmasq.conf", "listen-address"},
        Foreign{"dnsmasq.conf", "no-resolv"},
        Foreign{"stubby.yml", "dns_transport_list"},
        Foreign{"stubby.yml", "listen_addresses"},
        Foreign{"stubby.yml", "resolution_type"},
        Foreign{"stubby.yml", "round_robin_upstreams"},
        Foreign{"stubby.yml", "tls_authentication"},
        Foreign{"stubby.yml", "upstream_recursive_servers"},
        Foreign{"resolved.conf(5)", "DNS"},
        Foreign{"resolved.conf(5)", "DNSOverTLS"},
        Foreign{"resolved.conf(5)", "FallbackDNS"},
    };
    const auto found = std::ranges::find(words, word, &Foreign::word);
    return found == words.end() ? std::string_view{} : found->program;
}

std::string alternatives(Words words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) {
            text += i + 1 < words.size() ? ", " : " or ";
        }
        text += words[i];
    }
    return text;
}

} // namespace dotproxy
