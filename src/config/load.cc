// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What each key means: from a Document to a Config. The defaults stand here, and in dotproxy.conf,
// which a test reads to see that it says the same.

#include "config/checks.hh"
#include "config/config.hh"
#include "config/document.hh"
#include "config/keys.hh"
#include "config/listen.hh"
#include "config/units.hh"
#include "config/upstreams.hh"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;

constexpr std::uint64_t least_cache = std::uint64_t{1} << 20U;
constexpr std::uint64_t most_cache = std::uint64_t{sizeof(void*) < 8 ? 1 : 64} << 30U;

constexpr auto certificate_example =
    "{ chain = \"/etc/dotproxy/tls/fullchain.pem\"; key = \"/etc/dotproxy/tls/privkey.pem\"; }"sv;

std::vector<Address> literals(std::initializer_list<const char*> texts, std::uint16_t port) {
    std::vector<Address> addresses;
    for (const char* const text : texts) {
        addresses.push_back(Address::parse(text, port).value());
    }
    return addresses;
}

Config defaults() {
    Config config;
    config.user = config.group = "_dotproxy";
    config.control_socket = default_control_socket;
    for (const Address& address : literals({"127.0.0.1", "::1"}, default_listen_port)) {
        config.listen.push_back({.address = address, .udp = true, .tcp = true});
    }
    config.upstreams.push_back({.name = "cloudflare-dns.com",
                                .addresses = literals({"1.1.1.1", "1.0.0.1", "2606:4700:4700::1111",
                                                       "2606:4700:4700::1001"},
                                                      default_upstream_port),
                                .pins = {}});
    config.ca_file = "/etc/ssl/certs/ca-certificates.crt";
    config.timeouts = {.query = 5s,
                       .connect = 2s,
                       .client_idle = 10s,
                       .tls_idle = 30s,
                       .upstream_idle = 30s,
                       .drain = 10s};
    config.limits = {.queries = 65536,
                     .tcp_clients = 10000,
                     .tls_clients = 2000,
                     .queries_per_client = 128,
                     .client_rate = 5000,
                     .client_misses = 500,
                     .client_connects = 100,
                     .block_time = 60s};
    config.cache = {.size = std::uint64_t{64} << 20U,
                    .min_ttl = 0s,
                    .max_ttl = 24h,
                    .max_negative_ttl = 3h,
                    .failure_ttl = 5s,
                    .stale_after = 1800ms,
                    .max_stale = 24h,
                    .prefetch = true};
    config.log = {.level = log::Level::notice, .target = log::Target::automatic};
    return config;
}

void read_timeouts(const Value& group, Config& config) {
    group.check_group(keys::timeouts);
    auto& timeouts = config.timeouts;
    const auto read = [&group](std::string_view name, Milliseconds& timeout, Milliseconds least,
                               Milliseconds most) {
        if (const auto value = group.find(name)) {
            timeout = value->duration(least, most);
        }
    };
    read("query", timeouts.query, 100ms, 60s);
    // Who lowers the patience with queries need not know of this one.
    timeouts.connect = std::min(timeouts.connect, timeouts.query);
    read("connect", timeouts.connect, 50ms, 30s);
    if (timeouts.connect > timeouts.query) {
        required(group, "connect", {})
            .refuse("is longer than timeouts.query; give at most " +
                    in_quotes(units::duration_text(timeouts.query)));
    }
    read("client_idle", timeouts.client_idle, 0s, 1h);
    read("tls_idle", timeouts.tls_idle, 0s, 1h);
    read("upstream_idle", timeouts.upstream_idle, 0s, 1h);
    read("drain", timeouts.drain, 0s, 5min);
}

void read_network(const Value& group, PrefixMap<double>& networks) {
    constexpr double least = 0.01;
    constexpr double most = 1000;
    group.check_group(keys::network);
    const Value place = required(group, "prefix", "prefix = \"10.8.0.0/16\"");
    const Prefix prefix = read_prefix(place);
    if (std::ranges::any_of(networks,
                            [&prefix](const auto& other) { return other.first == prefix; })) {
        place.refuse(in_quotes(prefix.text()) + " is given twice; give each network once");
    }
    const Value value = required(group, "factor", "factor = 10.0, or 0 for no limits");
    const double factor = value.number(0, most);
    if (factor != 0 && factor < least) {
        value.refuse("is out of range; give 0 for no limits, or 0.01 to 1000");
    }
    networks.set(prefix, factor);
}

void read_rates(const Value& group, LimitsConfig& limits) {
    // In the order of LimitsConfig::Mode.
    static constexpr std::array modes{"on"sv, "count"sv, "off"sv};
    constexpr std::uint32_t most = 1000000;
    if (const auto mode = group.find("mode")) {
        limits.mode = static_cast<LimitsConfig::Mode>(mode->word(modes));
    }
    const auto read = [&group](std::string_view name, std::uint32_t& rate) {
        if (const auto value = group.find(name)) {
            rate = static_cast<std::uint32_t>(value->integer(0, most));
        }
    };
    read("client_rate", limits.client_rate);
    read("client_misses", limits.client_misses);
    read("client_connects", limits.client_connects);
    if (const auto block_time = group.find("block_time")) {
        limits.block_time = block_time->seconds(0s, 1h);
    }
    if (const auto networks = group.find("networks")) {
        const auto all = networks->elements("{ prefix = \"10.8.0.0/16\"; factor = 10.0; }");
        if (all.size() > LimitsConfig::most_networks) {
            networks->refuse("has " + std::to_string(all.size()) + " networks; give at most " +
                             std::to_string(LimitsConfig::most_networks));
        }
        for (const Value& network : all) {
            read_network(network, limits.networks);
        }
    }
}

void read_limits(const Value& group, Config& config) {
    group.check_group(keys::limits);
    const auto read = [&group](std::string_view name, std::uint32_t& limit, std::uint32_t least,
                               std::uint32_t most) {
        if (const auto value = group.find(name)) {
            limit = static_cast<std::uint32_t>(value->integer(least, most));
        }
    };
    read("queries", config.limits.queries, 64, 4194304);
    read("tcp_clients", config.limits.tcp_clients, 0, 1000000);
    read("tls_clients", config.limits.tls_clients, 0, 1000000);
    read("queries_per_client", config.limits.queries_per_client, 1, 65535);
    read_rates(group, config.limits);
    if (const auto file = group.find("cookie_secret_file")) {
        config.limits.cookie_secret_file = read_cookie_secret_file(*file);
        config.places.cookie_secret_file = file->place();
    }
}

void read_cache(const Value& group, Config& config) {
    group.check_group(keys::cache);
    CacheConfig& cache = config.cache;
    const auto read = [&group](std::string_view name, std::chrono::seconds& time,
                               std::chrono::seconds least, std::chrono::seconds most) {
        if (const auto value = group.find(name)) {
            time = value->seconds(least, most);
        }
    };
    if (const auto size = group.find("size")) {
        cache.size = size->size_or_zero(least_cache, most_cache);
    }
    constexpr std::chrono::seconds day = 24h;
    read("max_ttl", cache.max_ttl, 1s, 7 * day); // RFC 8767, section 4
    read("min_ttl", cache.min_ttl, 0s, 7 * day);
    if (cache.min_ttl > cache.max_ttl) {
        required(group, "min_ttl", {})
            .refuse("is longer than cache.max_ttl; give at most " +
                    in_quotes(units::duration_text(cache.max_ttl)));
    }
    read("max_negative_ttl", cache.max_negative_ttl, 0s, day); // RFC 2308, section 5
    read("failure_ttl", cache.failure_ttl, 1s, 5min);          // RFC 9520, section 3.2
    if (const auto stale_after = group.find("stale_after")) {
        cache.stale_after = stale_after->duration(0s, config.timeouts.query);
    }
    read("max_stale", cache.max_stale, 0s, 7 * day);
    if (const auto prefetch = group.find("prefetch")) {
        cache.prefetch = prefetch->boolean();
    }
}

void read_log(const Value& group, Config& config) {
    // In the order of the enumerators.
    static constexpr std::array levels{"error"sv, "warning"sv, "notice"sv, "info"sv, "debug"sv};
    static constexpr std::array targets{"auto"sv, "stderr"sv, "syslog"sv};
    group.check_group(keys::log);
    if (const auto level = group.find("level")) {
        config.log.level = static_cast<log::Level>(level->word(levels));
    }
    if (const auto target = group.find("target")) {
        config.log.target = static_cast<log::Target>(target->word(targets));
    }
}

/// Where `value` stands, or would if it were not left out.
std::string place(const Document& document, const std::optional<Value>& value, const char* key) {
    return value ? value->place() : document.source().name() + ": " + key;
}

void read_account(const Document& document, Config& config) {
    const auto user = document.root().find("user");
    const auto group = document.root().find("group");
    config.places.user = place(document, user, "user");
    config.places.group = place(document, group, "group");
    if (user) {
        config.user = user->string("_dotproxy");
    }
    if (group) {
        config.group = group->string("_dotproxy");
    }
}

void read_process(const Value& root, Config& config) {
    if (const auto workers = root.find("workers")) {
        config.workers = static_cast<unsigned>(workers->integer(0, max_workers));
    }
    if (config.workers == 0) {
        config.workers = usable_cpus();
    }
    if (const auto pid_file = root.find("pid_file")) {
        config.pid_file = read_pid_file(*pid_file);
        config.places.pid_file = pid_file->place();
    }
    if (const auto control_socket = root.find("control_socket")) {
        config.control_socket = read_control_socket(*control_socket);
    }
    if (const auto sandbox = root.find("sandbox")) {
        static constexpr std::array words{"on"sv, "off"sv};
        config.sandbox = sandbox->word(words) == 0;
    }
}

void read_certificates(const Value& list, Config& config) {
    config.places.certificates = list.place();
    for (const Value& group : list.elements(certificate_example)) {
        group.check_group(keys::certificate);
        constexpr auto chain_example = "/etc/dotproxy/tls/fullchain.pem";
        constexpr auto key_example = "/etc/dotproxy/tls/privkey.pem";
        const Value chain = required(group, "chain", "chain = " + in_quotes(chain_example));
        const Value key = required(group, "key", "key = " + in_quotes(key_example));
        config.certificates.push_back({.chain = read_certificate_file(chain, chain_example),
                                       .key = read_certificate_file(key, key_example),
                                       .chain_place = chain.place(),
                                       .key_place = key.place()});
    }
}

void read_tls(const Document& document, Config& config) {
    std::optional<Value> ca_file;
    if (const auto group = document.root().find("tls")) {
        group->check_group(keys::tls);
        ca_file = group->find("ca_file");
        if (const auto certificates = group->find("certificates")) {
            read_certificates(*certificates, config);
        }
    }
    check_certificates(config);
    config.places.ca_file = place(document, ca_file, "tls.ca_file");
    if (ca_file) {
        config.ca_file = read_ca_file(*ca_file);
    }
    bool needed = false;
    for (UpstreamConfig& upstream : config.upstreams) {
        if (upstream.ca_file.empty() && !upstream.plain) {
            upstream.ca_file = config.ca_file;
            upstream.ca_place = config.places.ca_file;
            needed = true;
        }
    }
    // Where each upstream has its own, a machine without the usual one is no worse for it.
    if (!ca_file && needed) {
        check_default_ca_file(document, config.ca_file);
    }
}

Config read(const Document& document) {
    const Value root = document.root();
    root.check_group(keys::top);
    Config config = defaults();
    read_process(root, config);
    read_account(document, config);
    const auto listen = root.find("listen");
    config.places.listen = place(document, listen, "listen");
    if (listen) {
        read_listen(*listen, config);
    }
    if (const auto allow = root.find("allow")) {
        config.allow = read_access(*allow);
    }
    if (const auto upstreams = root.find("upstreams")) {
        read_upstreams(*upstreams, config);
    }
    if (const auto routes = root.find("routes")) {
        read_routes(*routes, config);
    }
    if (const auto failover = root.find("failover_on_error")) {
        config.failover_on_error = failover->boolean();
    }
    if (const auto local_zones = root.find("local_zones")) {
        config.local_zones = local_zones->boolean();
    }
    if (const auto except = root.find("local_zones_except")) {
        for (const Value& element : except->elements("\"home.arpa\"")) {
            config.local_zones_except.push_back(
                read_local_exception(element, config.local_zones_except));
        }
    }
    read_tls(document, config);
    if (const auto timeouts = root.find("timeouts")) {
        read_timeouts(*timeouts, config);
    }
    if (const auto limits = root.find("limits")) {
        read_limits(*limits, config);
    }
    // Who lowers the patience with queries need not know of this one.
    config.cache.stale_after = std::min(config.cache.stale_after, config.timeouts.query);
    if (const auto cache = root.find("cache")) {
        read_cache(*cache, config);
    }
    if (const auto log = root.find("log")) {
        read_log(*log, config);
    }
    return config;
}

} // namespace

Config load_config(const std::string& path) {
    return read(Document{Source::from_file(path)});
}

Config parse_config(const std::string& text, const std::string& name) {
    return read(Document{Source::from_text(text, name)});
}

std::string load_control_socket(const std::string& path) {
    const Document document{Source::from_file(path)};
    const auto value = document.root().find("control_socket");
    return value ? read_control_socket(*value) : std::string{default_control_socket};
}

} // namespace dotproxy
