// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/upstreams.hh"

#include "config/checks.hh"
#include "config/keys.hh"
#include "config/url.hh"

#include <algorithm>
#include <array>
#include <net/if.h>
#include <set>
#include <string_view>

namespace dotproxy {

namespace {

using namespace std::string_view_literals;

constexpr auto upstream_example = "{ name = \"dns.example\"; addresses = ( \"192.0.2.1\" ); }"sv;
constexpr auto url_example = "https://dns.example/dns-query"sv;
constexpr auto route_example = "{ domains = ( \"corp.example\" ); group = \"corp\"; }"sv;
constexpr auto interface_example = "wg0"sv;
constexpr auto pin_example = "\"base64 of SHA-256\""sv;
constexpr auto domain_example = "corp.example"sv;

constexpr std::size_t most_groups = 64;
constexpr std::size_t longest_group_name = 32;
constexpr std::size_t most_domains = 65536;

constexpr std::uint16_t default_plain_port = 53;

/// Whether an address is in the own network, beyond which nothing goes in the clear.
bool is_near(const Address& address) {
    static const Prefix shared = *Prefix::parse("100.64.0.0/10"); // RFC 6598
    const AddressBits bits = AddressBits::of(address);
    return is_always_local(bits) || shared.contains(bits);
}

/// Whether a question in the clear to that address would come back to us.
bool is_own(const Address& address, const std::vector<ListenConfig>& listen) {
    return std::ranges::any_of(listen, [&](const ListenConfig& one) {
        return (one.udp || one.tcp) && one.address.port() == address.port() &&
               (one.address == address || (one.address.is_wildcard() && address.is_loopback()));
    });
}

void check_plain_address(const Value& element, const Address& address,
                         const std::vector<ListenConfig>& listen) {
    if (!is_near(address)) {
        element.refuse(in_quotes(element.string("192.168.1.1")) +
                       " is beyond the own network, where nobody is asked in the clear; give a "
                       "private address, or transport = \"tls\"");
    }
    if (is_own(address, listen)) {
        element.refuse(address.text() +
                       " is where dotproxy listens itself; give the address of another server");
    }
}

/// The port of addresses that give none.
std::uint16_t read_usual_port(const Value& element, const UpstreamConfig& upstream) {
    const auto url = element.find("url");
    if (url) {
        return std::get<Url>(parse_url(url->string(url_example))).port;
    }
    return read_port(element, upstream.plain ? default_plain_port : default_upstream_port);
}

void read_upstream_addresses(const Value& element, const Config& config, UpstreamConfig& upstream) {
    const Value list = required(element, "addresses", "addresses = ( \"192.0.2.1\" )");
    const std::uint16_t port = read_usual_port(element, upstream);
    for (const Value& one : some(list, "\"192.0.2.1\"")) {
        const Address address = read_address(one, port, Whose::another);
        check_upstream_address(one, address, upstream.addresses);
        if (upstream.plain) {
            check_plain_address(one, address, config.listen);
        }
        if (upstream.source && upstream.source->family() != address.family()) {
            one.refuse(address.host() + " cannot be asked from " + upstream.source->host() +
                       ", which is of the other family; give it an upstream of its own");
        }
        upstream.addresses.push_back(address);
    }
    check_upstream(list, upstream, config.upstreams);
}

/// An interface, by a name that the kernel could give one.
std::string read_interface(const Value& value) {
    std::string name = value.string(interface_example);
    const bool good = name.size() < IFNAMSIZ && name != "." && name != ".." &&
                      std::ranges::all_of(name, [](unsigned char c) {
                          return c > ' ' && c < 0x7f && c != '/' && c != ':';
                      });
    if (!good) {
        value.refuse(in_quotes(name) +
                     " is no name of an interface; give one that ip link shows, "
                     "such as " +
                     in_quotes(interface_example));
    }
    return name;
}

/// By which line it is asked.
void read_way_out(const Value& element, UpstreamConfig& upstream) {
    if (const auto interface = element.find("interface")) {
        upstream.interface = read_interface(*interface);
    }
    const auto source = element.find("source");
    if (!source) {
        return;
    }
    upstream.source = read_address(*source, 0, Whose::this_machine);
    if (upstream.source->is_wildcard()) {
        source->refuse("is no single address; give one that this machine has, or leave it out");
    }
}

/// The number of the group of that name, which it gets when it is new.
unsigned read_group(const Value& value, std::vector<std::string>& groups) {
    const std::string name = value.string("corp");
    const bool good =
        name.size() <= longest_group_name && std::ranges::all_of(name, [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        });
    if (!good) {
        value.refuse(in_quotes(name) + " is no name of a group; give one of at most " +
                     std::to_string(longest_group_name) +
                     " lower-case letters, digits, - and _, such as \"corp\"");
    }
    const auto known = std::ranges::find(groups, name);
    if (known == groups.end() && groups.size() == most_groups) {
        value.refuse("is group number " + std::to_string(groups.size() + 1) + "; give at most " +
                     std::to_string(most_groups));
    }
    const auto number = static_cast<unsigned>(known - groups.begin());
    if (known == groups.end()) {
        groups.push_back(name);
    }
    return number;
}

/// How one is asked over HTTPS: its URL says under which name, at which port, and what for.
void read_url(const Value& group, const Value& value, UpstreamConfig& upstream) {
    const std::string text = value.string(url_example);
    const auto url = parse_url(text);
    if (const auto* const fault = std::get_if<std::string_view>(&url)) {
        value.refuse(in_quotes(text) + " " + std::string{*fault} +
                     "; give the URL of a resolver, "
                     "such as " +
                     in_quotes(url_example));
    }
    for (const auto key : {"name"sv, "port"sv}) {
        if (const auto other = group.find(key)) {
            other->refuse("is in the url already; leave it out");
        }
    }
    upstream.name = std::get<Url>(url).name;
    upstream.authority = std::get<Url>(url).authority;
    upstream.path = std::get<Url>(url).path;
}

/// What an upstream that is asked over TLS or HTTPS is verified by.
void read_identity(const Value& group, UpstreamConfig& upstream) {
    if (const auto url = group.find("url")) {
        read_url(group, *url, upstream);
    } else if (const auto name = group.find("name")) {
        upstream.name = read_server_name(*name);
    }
    if (const auto pins = group.find("pins")) {
        for (const Value& element : pins->elements(pin_example)) {
            upstream.pins.push_back(read_pin(element));
        }
    }
    if (const auto ca_file = group.find("ca_file")) {
        upstream.ca_file = read_ca_file(*ca_file);
        upstream.ca_place = ca_file->place();
    }
    if (upstream.name.empty() && upstream.pins.empty()) {
        group.refuse("has neither name nor pins, so nothing to verify the server by; give the "
                     "name in its certificate, such as name = \"dns.example\"");
    }
}

/// That nothing is said of how one is verified that is asked in the clear.
void check_plain(const Value& element, const Value& transport, const UpstreamConfig& upstream) {
    if (upstream.group == 0) {
        transport.refuse(
            "is for groups that routes lead to: nothing else leaves in the clear; give "
            "it a group, or \"tls\"");
    }
    for (const auto key : {"name"sv, "url"sv, "pins"sv, "ca_file"sv}) {
        if (const auto value = element.find(key)) {
            value->refuse("is of no use, since nobody is verified in the clear; leave it out");
        }
    }
}

UpstreamConfig read_upstream(const Value& element, std::vector<std::string>& groups) {
    static constexpr std::array transports{"tls"sv, "plain"sv};
    UpstreamConfig upstream;
    if (const auto group = element.find("group")) {
        upstream.group = read_group(*group, groups);
        upstream.group_name = groups[upstream.group];
    }
    const auto transport = element.find("transport");
    upstream.plain = transport && transport->word(transports) == 1;
    if (upstream.plain) {
        check_plain(element, *transport, upstream);
    } else {
        read_identity(element, upstream);
    }
    return upstream;
}

/// All of a group are asked in one way, since one stands in for another.
void check_transport(const Value& element, const UpstreamConfig& upstream,
                     const std::vector<UpstreamConfig>& others) {
    if (std::ranges::any_of(others, [&upstream](const UpstreamConfig& other) {
            return other.group == upstream.group && other.plain != upstream.plain;
        })) {
        element.refuse("others of the group " + in_quotes(upstream.group_name) + " are asked " +
                       (upstream.plain ? "over TLS" : "in the clear") +
                       "; give it a group of its own");
    }
}

/// The number of a group that upstreams are in.
std::uint8_t read_known_group(const Value& value, const std::vector<std::string>& groups) {
    const std::string name = value.string("corp");
    const auto known = std::ranges::find(groups, name);
    if (known == groups.end()) {
        const std::vector<std::string_view> names{groups.begin(), groups.end()};
        value.refuse("no upstream is in the group " + in_quotes(name) + "; give " +
                     alternatives(names) + ", or an upstream with group = " + in_quotes(name));
    }
    return static_cast<std::uint8_t>(known - groups.begin());
}

/// A domain that is not among those that have a route already.
dns::Name read_routed(const Value& value, std::set<std::vector<std::uint8_t>>& known) {
    const dns::Name name = read_domain(value, domain_example);
    if (name.size == 1) {
        value.refuse("is the root; the upstreams of the default group are asked about all names; "
                     "give a domain such as " +
                     in_quotes(domain_example));
    }
    if (!known.emplace(name.view().begin(), name.view().end()).second) {
        value.refuse(in_quotes(value.string(domain_example)) +
                     " is given twice; give each domain once");
    }
    if (known.size() > most_domains) {
        value.refuse("is domain number " + std::to_string(known.size()) + "; give at most " +
                     std::to_string(most_domains));
    }
    return name;
}

} // namespace

void read_upstreams(const Value& list, Config& config) {
    config.upstreams.clear();
    config.places.upstreams = list.place();
    for (const Value& element : some(list, upstream_example)) {
        element.check_group(keys::upstream);
        UpstreamConfig upstream = read_upstream(element, config.groups);
        check_transport(element, upstream, config.upstreams);
        read_way_out(element, upstream);
        read_upstream_addresses(element, config, upstream);
        config.upstreams.push_back(std::move(upstream));
    }
    if (std::ranges::none_of(config.upstreams,
                             [](const UpstreamConfig& one) { return one.group == 0; })) {
        list.refuse("each has a group, and nobody is there for what no route is for; give one "
                    "without group");
    }
}

void read_routes(const Value& list, Config& config) {
    std::vector<Route> routes;
    std::set<std::vector<std::uint8_t>> known;
    for (const Value& element : list.elements(route_example)) {
        element.check_group(keys::route);
        const auto domains = some(required(element, "domains", "domains = ( \"corp.example\" )"),
                                  in_quotes(domain_example));
        const std::uint8_t group =
            read_known_group(required(element, "group", "group = \"corp\""), config.groups);
        for (const Value& domain : domains) {
            routes.push_back({.domain = read_routed(domain, known), .group = group});
        }
    }
    config.routes = Routes{std::move(routes)};
}

} // namespace dotproxy
