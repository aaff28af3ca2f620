// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/listen.hh"

#include "config/checks.hh"
#include "config/keys.hh"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::string_view_literals;

constexpr auto listen_example = "{ address = \"127.0.0.1\"; }"sv;

/// Refuses a protocol of which another one's connections on the same port cannot be told apart.
void check_together(const Value& element, const ListenConfig& listen) {
    if (listen.tcp && listen.speaks_tls()) {
        const std::string one = listen.dot ? "\"dot\"" : "\"doh\"";
        element.refuse("\"tcp\" and " + one + " cannot be had on one port; give " + one +
                       " one of its own, such as " + (listen.dot ? "853" : "443"));
    }
    if (listen.http && (listen.tcp || listen.speaks_tls())) {
        element.refuse("\"http\" cannot be had on one port with another protocol over TCP; give it "
                       "one of its own, such as 8053");
    }
}

/// Returns where the first protocol stands that takes TLS; empty: none does.
std::string read_protocols(const Value& list, ListenConfig& listen) {
    static constexpr std::array words{"udp"sv, "tcp"sv, "dot"sv, "doh"sv, "http"sv};
    const std::array protocols{&listen.udp, &listen.tcp, &listen.dot, &listen.doh, &listen.http};
    std::string tls_place;
    listen.udp = listen.tcp = false;
    for (const Value& element : some(list, "\"udp\", \"tcp\"")) {
        bool& protocol = *protocols.at(element.word(words));
        if (protocol) {
            element.refuse("is given twice; give each protocol once");
        }
        protocol = true;
        check_together(element, listen);
        if (listen.speaks_tls() && tls_place.empty()) {
            tls_place = element.place();
        }
    }
    return tls_place;
}

/// A path as a URL has it (RFC 3986, section 3.3), from which questions differ by parameters.
std::string read_path(const Value& value) {
    constexpr std::size_t most = 255;
    std::string path = value.string("/dns-query");
    const bool written_right = std::ranges::all_of(path, [](char c) {
        return c > ' ' && c < '\x7f' && "?#%\"<>\\^`{|}"sv.find(c) == std::string_view::npos;
    });
    if (path.front() != '/' || path.size() > most || !written_right) {
        value.refuse(in_quotes(path) +
                     " is not the path of a URL; give one such as \"/dns-query\", without "
                     "parameters and percent signs");
    }
    return path;
}

std::vector<Prefix> read_trusted(const Value& list) {
    std::vector<Prefix> all;
    for (const Value& element : some(list, "\"127.0.0.1\"")) {
        const Prefix prefix = read_prefix(element);
        if (prefix.length() == (prefix.is_v4() ? Prefix::v4_offset : 0)) {
            element.refuse(in_quotes(prefix.text()) + " is everybody, who could then say to be "
                                                      "anybody; give the proxies' addresses");
        }
        if (std::ranges::find(all, prefix) != all.end()) {
            element.refuse(in_quotes(prefix.text()) + " is given twice; give each network once");
        }
        all.push_back(prefix);
    }
    return all;
}

/// What is of use only where HTTP is spoken.
void read_http(const Value& group, ListenConfig& listen) {
    const auto take = [&](std::string_view name, const auto& read) {
        if (const auto value = group.find(name)) {
            read(*value);
            if (!listen.doh && !listen.http) {
                value->refuse("is of no use without HTTP; give protocols = ( \"doh\" ) beside it, "
                              "or leave it out");
            }
        }
    };
    take("path", [&](const Value& value) { listen.path = read_path(value); });
    take("cors", [&](const Value& value) { listen.cors = value.boolean(); });
}

/// Who stands in front of the listener, and how it says whose its questions are.
void read_proxies(const Value& group, ListenConfig& listen) {
    if (const auto proxy_protocol = group.find("proxy_protocol")) {
        listen.proxy_protocol = proxy_protocol->boolean();
    }
    if (const auto trusted = group.find("trusted")) {
        listen.trusted = read_trusted(*trusted);
        if (!listen.doh && !listen.http && !listen.proxy_protocol) {
            trusted->refuse(
                "is of no use without a proxy; give proxy_protocol = true beside it, or "
                "leave it out");
        }
    }
    if ((listen.http || listen.proxy_protocol) && listen.trusted.empty()) {
        // E70, E74: else whoever comes could say to be anybody, or would be answered in the clear.
        std::string problem = listen.http ? "\"http\"" : "proxy_protocol";
        problem += " is for proxies, and none is trusted; give those that may come, such as "
                   "trusted = ( \"127.0.0.1\" )";
        group.refuse(problem);
    }
}

std::uint16_t default_port(const ListenConfig& listen) {
    if (listen.udp || !listen.speaks_tls()) {
        return default_listen_port;
    }
    return listen.dot ? default_dot_port : default_doh_port;
}

} // namespace

Access read_access(const Value& list) {
    std::vector<AccessRule> rules;
    for (const Value& element : some(list, "\"local\"")) {
        rules.push_back(read_access_rule(element, rules));
    }
    if (std::ranges::none_of(rules, &AccessRule::allowed)) {
        list.refuse("lets nobody ask; say who may, such as ( \"local\" )");
    }
    return Access{rules};
}

void read_listen(const Value& list, Config& config) {
    std::vector<ListenConfig> all;
    for (const Value& group : some(list, listen_example)) {
        group.check_group(keys::listen);
        const Value address = required(group, "address", "address = \"127.0.0.1\"");
        ListenConfig listen;
        if (const auto protocols = group.find("protocols")) {
            const std::string tls = read_protocols(*protocols, listen);
            config.places.tls = config.places.tls.empty() ? tls : config.places.tls;
        }
        listen.address =
            read_address(address, read_port(group, default_port(listen)), Whose::this_machine);
        read_http(group, listen);
        read_proxies(group, listen);
        if (const auto allow = group.find("allow")) {
            listen.allow = read_access(*allow);
        }
        check_listener(address, listen, all);
        all.push_back(std::move(listen));
    }
    config.listen = std::move(all);
}

} // namespace dotproxy
