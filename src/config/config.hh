// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Config: everything that dotproxy.conf says, checked, with every default filled in. Plain and
// immutable once loaded; it reaches the workers by fork.

#pragma once

#include "base/address.hh"
#include "base/clock.hh"
#include "base/listener.hh"
#include "base/log.hh"
#include "base/prefix.hh"
#include "config/access.hh"
#include "config/routes.hh"
#include "dns/name.hh"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy {

/// SHA-256 of a SubjectPublicKeyInfo (RFC 7858, section 4.2).
using SpkiPin = std::array<std::uint8_t, 32>;

/// Where DNS over TLS (RFC 7858, section 3.1) and over HTTPS (RFC 9110, section 4.2.2) are
/// expected.
constexpr std::uint16_t default_dot_port = 853;
constexpr std::uint16_t default_doh_port = 443;

struct ListenConfig {
    Address address; // with port
    bool udp{true};
    bool tcp{true};
    bool dot{false};                // DNS over TLS, in place of tcp; as the next two
    bool doh{false};                // DNS over HTTPS
    bool http{false};               // the same in the clear, for proxies
    std::string path{"/dns-query"}; // where HTTP is spoken: of a question's URL
    bool cors{false};               // and whether a web page may ask
    bool proxy_protocol{false};     // each connection begins with who its client is
    std::vector<Prefix> trusted{};  // whose word about that counts
    std::optional<Access> allow{};  // here, in place of Config::allow

    /// Whether nobody comes in but proxies, and their clients behind them.
    [[nodiscard]] bool is_for_proxies() const noexcept { return http || proxy_protocol; }

    [[nodiscard]] bool takes(Protocol protocol) const noexcept {
        return protocol == Protocol::udp ? udp : tcp || http || speaks_tls();
    }

    [[nodiscard]] bool speaks_tls() const noexcept { return dot || doh; }

    [[nodiscard]] bool trusts(const Address& peer) const noexcept {
        return std::ranges::any_of(trusted, [bits = AddressBits::of(peer)](const Prefix& one) {
            return one.contains(bits);
        });
    }
};

/// A certificate that clients over TLS are shown, and its key: files in PEM. They are read apart,
/// by the account that serves.
struct CertificateConfig {
    std::string chain;
    std::string key;
    std::string chain_place; // where that stands: see Config::places
    std::string key_place;
};

/// The group of upstreams that is asked about everything that no route is for.
constexpr std::string_view default_group = "default";

/// So many questions are on their way to a group in the clear at a time, each with a descriptor.
constexpr std::uint32_t most_plain_queries = 256;

/// One resolver that speaks DNS over TLS or HTTPS, and has a name, or pins, or both; or one of the
/// own network that is asked in the clear.
struct UpstreamConfig {
    std::string name; // DNS name in lower case without trailing dot, or an IP literal; may be empty
                      // where there are pins
    std::vector<Address> addresses; // with port; at least one
    std::vector<SpkiPin> pins;
    std::string ca_file{};   // whose certificates vouch for it: its own file, or the common one
    std::string ca_place{};  // where that stands: see Config::places
    bool plain{false};       // asked in the clear; it has neither name nor pins then
    std::string authority{}; // over HTTPS: of its URL, as a request has it
    std::string path{};      // and its path; empty: it is asked over TLS
    std::optional<Address> source{}; // asked from there, without a port
    std::string interface {};        // and by that one; empty: as the routes of this host say
    unsigned group{0};               // by its place in Config::groups
    std::string group_name{};        // where it is not the default one

    [[nodiscard]] bool is_https() const noexcept { return !path.empty(); }

    /// How one of its addresses is called: "cloudflare-dns.com at 1.1.1.1:853", or "https://..." in
    /// place of the name, and with its way out and its group, since it may be an upstream by itself
    /// for each of them.
    [[nodiscard]] std::string text(const Address& address) const {
        const std::string called = is_https() ? "https://" + authority + path : name;
        return (called.empty() ? "" : called + " at ") + address.text() +
               (source ? " from " + source->host() : "") +
               (interface.empty() ? "" : " through " + interface) +
               (group == 0 ? "" : " of group " + group_name);
    }
};

/// What is remembered of answers, and for how long. TTLs are counted in seconds (RFC 1035).
struct CacheConfig {
    std::uint64_t size; // octets in all; 0: nothing is remembered
    std::chrono::seconds min_ttl;
    std::chrono::seconds max_ttl; // at least min_ttl
    std::chrono::seconds max_negative_ttl;
    std::chrono::seconds failure_ttl;
    Milliseconds stale_after;       // at most timeouts.query
    std::chrono::seconds max_stale; // 0: what is stale is not used
    bool prefetch;
};

/// How much clients may ask for. What is counted for one client is counted by all workers together.
struct LimitsConfig {
    enum class Mode : std::uint8_t {
        on,
        count, // nothing is limited, but counted as if it were
        off,
    };

    std::uint32_t queries{0};
    std::uint32_t tcp_clients{0};
    std::uint32_t tls_clients{0}; // of these, those over TLS
    std::uint32_t queries_per_client{0};
    Mode mode{Mode::on};
    std::uint32_t client_rate{0};       // UDP questions a second; of this and the next two, 0: any
    std::uint32_t client_misses{0};     // questions a second that upstreams are asked for
    std::uint32_t client_connects{0};   // TCP connections a second
    std::chrono::seconds block_time{0}; // for who goes on at ten times that; 0: nobody is blocked
    PrefixMap<double> networks{};       // where so many times as much is allowed; 0: anything
    std::string cookie_secret_file{};   // empty: the secret is drawn at the start

    static constexpr std::size_t most_networks = 200;
};

/// The control socket where none is configured.
constexpr std::string_view default_control_socket = "/run/dotproxy/control";

struct Config {
    unsigned workers{0}; // resolved: at least 1
    std::string user;
    std::string group;
    std::string pid_file;       // empty: none
    std::string control_socket; // empty: none
    bool sandbox{true};         // the workers are shut in
    std::vector<ListenConfig> listen;
    Access allow;                                                // who may ask
    std::vector<UpstreamConfig> upstreams;                       // at least one of each group
    std::vector<std::string> groups{std::string{default_group}}; // their names; that one is first
    Routes routes;                                               // which group is asked about what
    bool failover_on_error{true}; // the next one is asked where one answers with an error
    bool local_zones{true};
    std::vector<dns::Name> local_zones_except; // within the local zones; lower case
    std::string ca_file;
    std::vector<CertificateConfig> certificates; // at least one where a listener speaks TLS

    struct {
        Milliseconds query;
        Milliseconds connect;
        Milliseconds client_idle;
        Milliseconds tls_idle;
        Milliseconds upstream_idle;
        Milliseconds drain;
    } timeouts{};

    LimitsConfig limits{};

    CacheConfig cache{};

    struct {
        log::Level level;
        log::Target target;
    } log{};

    /// What is said of where `local` is the address, with its port, that questions come to;
    /// nullptr: nothing.
    [[nodiscard]] const ListenConfig* listener_at(Protocol protocol,
                                                  const Address& local) const noexcept {
        // Of one protocol there is no wildcard beside a single address.
        const auto here = std::ranges::find_if(listen, [&](const ListenConfig& one) {
            return one.takes(protocol) && one.address.covers(local);
        });
        return here != listen.end() ? &*here : nullptr;
    }

    /// Who may ask there.
    [[nodiscard]] const Access& access_at(Protocol protocol, const Address& local) const noexcept {
        const ListenConfig* const here = listener_at(protocol, local);
        return here != nullptr && here->allow ? *here->allow : allow;
    }

    /// Whether a group is asked in the clear: all of its upstreams are, or none.
    [[nodiscard]] bool is_plain(unsigned number) const noexcept {
        return std::ranges::any_of(upstreams, [number](const UpstreamConfig& one) {
            return one.group == number && one.plain;
        });
    }

    /// What is asked of whom, a line for each group but the default one.
    [[nodiscard]] std::vector<std::string> group_texts() const {
        std::vector<std::string> texts;
        for (unsigned number = 1; number < groups.size(); ++number) {
            const std::string domains = routes.domains_of(number);
            texts.push_back("group " + groups[number] + ": asked about " +
                            (domains.empty() ? "nothing" : domains));
        }
        return texts;
    }

    /// The addresses of all upstreams, as UpstreamConfig::text() calls them, in their order.
    [[nodiscard]] std::vector<std::string> upstream_texts() const {
        std::vector<std::string> texts;
        for (const UpstreamConfig& upstream : upstreams) {
            for (const Address& address : upstream.addresses) {
                texts.push_back(upstream.text(address));
            }
        }
        return texts;
    }

    /// "FILE:LINE: KEY", or "FILE: KEY" for a default, of what is only found to be wrong when it is
    /// used: the front of the message then.
    struct {
        std::string user;
        std::string group;
        std::string pid_file;
        std::string listen;
        std::string upstreams; // empty: none are given
        std::string tls;       // of the first protocol that takes TLS; empty: none does
        std::string ca_file;
        std::string certificates; // empty: none are given
        std::string cookie_secret_file;
    } places{};
};

/// What is wrong with a configuration, for the administrator: "FILE:LINE: KEY: what is wrong; what
/// would be right". The line is left out where there is none.
class ConfigError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Reads and checks a configuration file. Throws ConfigError.
[[nodiscard]] Config load_config(const std::string& path);

/// The same for a text; `name` stands for the file in messages.
[[nodiscard]] Config parse_config(const std::string& text, const std::string& name);

/// What control_socket a configuration file gives, whatever else is wrong with it. Throws
/// ConfigError where the file cannot be read, or that key's value be used.
[[nodiscard]] std::string load_control_socket(const std::string& path);

/// The version of libconfig that this was built with.
[[nodiscard]] const char* config_library_version() noexcept;

} // namespace dotproxy
