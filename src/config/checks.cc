// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/checks.hh"

#include "base/cgroup.hh"
#include "base/fd.hh"
#include "config/identity_text.hh"
#include "dns/local.hh"
#include "dns/name_text.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <netinet/in.h>
#include <sched.h>
#include <string_view>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>

namespace dotproxy {

namespace {

using namespace std::string_view_literals;

const in6_addr& v6_octets(const Address& address, sockaddr_in6& copy) noexcept {
    std::memcpy(&copy, address.data(), sizeof(copy));
    return copy.sin6_addr;
}

bool is_multicast(const Address& address) noexcept {
    if (address.is_v6()) {
        sockaddr_in6 v6{};
        return IN6_IS_ADDR_MULTICAST(&v6_octets(address, v6));
    }
    sockaddr_in v4{};
    std::memcpy(&v4, address.data(), sizeof(v4));
    const std::uint32_t host = ntohl(v4.sin_addr.s_addr);
    return IN_MULTICAST(host) || host == INADDR_BROADCAST;
}

/// The interface is a part of a link-local address: the same one is on every link.
bool lacks_zone(const Address& address) noexcept {
    sockaddr_in6 v6{};
    return address.is_v6() && IN6_IS_ADDR_LINKLOCAL(&v6_octets(address, v6)) &&
           v6.sin6_scope_id == 0;
}

bool is_mapped_v4(const Address& address) noexcept {
    sockaddr_in6 v6{};
    return address.is_v6() && IN6_IS_ADDR_V4MAPPED(&v6_octets(address, v6));
}

/// What keeps `path` from being read; empty when nothing does. Opened and not asked for with
/// access(), which looks at the real user and not at the effective one.
std::string unreadable(const std::string& path) {
    const Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};

    struct stat status {};

    if (!fd || ::fstat(fd.get(), &status) != 0) {
        return std::generic_category().message(errno);
    }
    return S_ISREG(status.st_mode) ? std::string{} : "not a regular file";
}

std::string ca_file_problem(const std::string& path, const std::string& problem) {
    return "cannot read " + in_quotes(path) + ": " + problem +
           "; give a PEM file of the certificate authorities to trust (Debian has one in the "
           "package ca-certificates)";
}

/// An absolute path, or an empty one.
std::string read_path(const Value& value, std::string_view example) {
    std::string path = value.string_or_empty(example);
    if (!path.empty() && path.front() != '/') {
        value.refuse(in_quotes(path) +
                     " is a relative path; give an absolute one, or \"\" for none");
    }
    return path;
}

constexpr auto network_example = "one such as \"192.0.2.0/24\" or \"2001:db8::/32\"";

/// That nothing is cut off a network which is cut from `text`.
void check_length(const Value& value, const std::string& text, const Prefix& prefix) {
    if (Prefix::parse(text.substr(0, text.find('/')))->bits() != prefix.bits()) {
        value.refuse(in_quotes(text) + " has bits beyond its length; give " +
                     in_quotes(prefix.text()) + " or a single address");
    }
}

} // namespace

unsigned usable_cpus() {
    // The kernel refuses a mask that is smaller than its own, whose size it does not tell.
    for (unsigned cpus = 1024; cpus <= 1U << 20U; cpus *= 2) {
        const auto free_mask = [](cpu_set_t* mask) { CPU_FREE(mask); };
        const std::unique_ptr<cpu_set_t, decltype(free_mask)> mask{CPU_ALLOC(cpus)};
        const std::size_t size = CPU_ALLOC_SIZE(cpus);
        if (mask && ::sched_getaffinity(0, size, mask.get()) == 0) {
            const auto runs_on = static_cast<unsigned>(CPU_COUNT_S(size, mask.get()));
            // More workers than a quota is for would use it up together, and stand still together.
            return std::clamp(std::min(runs_on, cgroup::cpu_limit().value_or(runs_on)), 1U,
                              max_workers);
        }
    }
    return 1;
}

Address read_address(const Value& value, std::uint16_t port, Whose whose) {
    const bool own = whose == Whose::this_machine;
    const std::string text = value.string(own ? "0.0.0.0" : "192.0.2.1");
    const auto address = Address::parse(text, port);
    if (!address) {
        const std::size_t percent = text.find('%');
        if (percent != std::string::npos && Address::parse(text.substr(0, percent), port)) {
            value.refuse("there is no interface " + in_quotes(text.substr(percent + 1)) +
                         "; give one that \"ip link\" shows");
        }
        value.refuse(in_quotes(text) + " is not an IP address; give " +
                     (own ? "one of this machine, such as \"127.0.0.1\", or \"0.0.0.0\" or \"::\" "
                            "for all that it has"
                          : "one such as \"192.0.2.1\" or \"2001:db8::1\"") +
                     " (a port has its own key)");
    }
    if (is_multicast(*address)) {
        value.refuse(in_quotes(text) +
                     " is a multicast or broadcast address; give that of one host" +
                     (own ? ", or \"0.0.0.0\" or \"::\" for all of this machine" : ""));
    }
    if (is_mapped_v4(*address)) {
        value.refuse(in_quotes(text) + " is an IPv4 address within IPv6; give " +
                     in_quotes(text.substr(text.rfind(':') + 1)) + " in IPv4's own form");
    }
    if (lacks_zone(*address)) {
        value.refuse(in_quotes(text) + " is on every link; give the interface with it, such as " +
                     in_quotes(text + "%eth0"));
    }
    return *address;
}

std::string read_server_name(const Value& value) {
    std::string text = value.string_or_empty("dns.example");
    if (text.empty()) {
        return text;
    }
    const auto name = parse_server_name(text);
    if (!name) {
        value.refuse(in_quotes(text) + " is neither a DNS name nor an IP address; give the name in "
                                       "the server's certificate, such as \"dns.example\" (an "
                                       "international one in its \"xn--\" form)");
    }
    return *name;
}

SpkiPin read_pin(const Value& value) {
    const std::string text = value.string("base64 of SHA-256");
    const auto pin = parse_pin(text);
    if (!pin) {
        value.refuse(in_quotes(text) +
                     " is not a pin; give the SHA-256 of the server's "
                     "SubjectPublicKeyInfo in base64, 44 characters that end in =");
    }
    return *pin;
}

std::string read_pid_file(const Value& value) {
    return read_path(value, "/run/dotproxy/dotproxy.pid");
}

std::string read_cookie_secret_file(const Value& value) {
    return read_path(value, "/etc/dotproxy/cookie.secret");
}

std::string read_control_socket(const Value& value) {
    constexpr std::size_t most = sizeof(sockaddr_un::sun_path) - 1;
    std::string path = read_path(value, default_control_socket);
    if (path.size() > most) {
        value.refuse(in_quotes(path) + " is too long for a socket; give at most " +
                     std::to_string(most) + " octets");
    }
    return path;
}

std::string read_ca_file(const Value& value) {
    std::string path = value.string("/etc/ssl/certs/ca-certificates.crt");
    if (path.front() != '/') {
        // A daemon leaves the directory it was started in, and reads the file again on a reload.
        value.refuse(in_quotes(path) + " is a relative path; give an absolute one");
    }
    if (const std::string problem = unreadable(path); !problem.empty()) {
        value.refuse(ca_file_problem(path, problem));
    }
    return path;
}

void check_default_ca_file(const Document& document, const std::string& path) {
    if (const std::string problem = unreadable(path); !problem.empty()) {
        throw ConfigError{document.source().name() +
                          ": tls.ca_file: " + ca_file_problem(path, problem)};
    }
}

std::string read_certificate_file(const Value& value, std::string_view example) {
    std::string path = value.string(example);
    if (path.front() != '/') {
        value.refuse(in_quotes(path) + " is a relative path; give an absolute one");
    }
    return path;
}

void check_certificates(const Config& config) {
    if (!config.places.tls.empty() && config.certificates.empty()) {
        throw ConfigError{config.places.tls +
                          ": this takes a certificate, and there is none; give tls: { "
                          "certificates = ( { chain = \"/etc/dotproxy/tls/fullchain.pem\"; key = "
                          "\"/etc/dotproxy/tls/privkey.pem\"; } ); }"};
    }
    if (config.places.tls.empty() && !config.certificates.empty()) {
        throw ConfigError{config.places.certificates +
                          ": no listener uses them; give one protocols = ( \"dot\" ) or ( "
                          "\"doh\" ), or leave them out"};
    }
}

dns::Name read_domain(const Value& value, std::string_view example) {
    const std::string text = value.string(example);
    const auto name = dns::parse_name(text);
    if (!name) {
        value.refuse(in_quotes(text) + " is not a domain name; give one such as " +
                     in_quotes(example));
    }
    return *name;
}

dns::Name read_local_exception(const Value& value, const std::vector<dns::Name>& others) {
    constexpr auto example = "home.arpa"sv;
    const std::string text = value.string(example);
    const dns::Name name = read_domain(value, example);
    if (!dns::may_be_excepted(name.view())) {
        value.refuse(in_quotes(text) +
                     " is not within a zone that local_zones is about; give one that is, such as "
                     "\"home.arpa\" or \"10.in-addr.arpa\"");
    }
    if (std::ranges::any_of(others, [&name](const dns::Name& other) {
            return dns::same_name(other.view(), name.view());
        })) {
        value.refuse(in_quotes(text) + " is given twice; give each name once");
    }
    return name;
}

Prefix read_prefix(const Value& value) {
    const std::string text = value.string("192.0.2.0/24");
    const auto prefix = Prefix::parse(text);
    if (!prefix) {
        value.refuse(in_quotes(text) + " is not a network; give " + network_example);
    }
    check_length(value, text, *prefix);
    return *prefix;
}

AccessRule read_access_rule(const Value& value, const std::vector<AccessRule>& others) {
    // In the order of AccessRule::Who.
    static constexpr std::array words{"any"sv, "local"sv, "loopback"sv};
    const std::string text = value.string("local");
    const std::string what = text.substr(text.front() == '!' ? 1 : 0);
    AccessRule rule{.allowed = text.front() != '!'};
    const auto word = std::ranges::find(words, what);
    if (word != words.end()) {
        rule.who = static_cast<AccessRule::Who>(word - words.begin());
    } else if (const auto prefix = Prefix::parse(what)) {
        rule.who = AccessRule::Who::prefix;
        rule.prefix = *prefix;
        check_length(value, what, *prefix);
    } else {
        value.refuse(in_quotes(text) + " is not a network; give " + network_example +
                     ", or \"loopback\", \"local\" or \"any\", with ! before it for who may not "
                     "ask");
    }
    if (std::ranges::any_of(others, [&rule](const AccessRule& other) {
            return other.who == rule.who && other.prefix == rule.prefix;
        })) {
        value.refuse(in_quotes(what) + " is given twice; give each network once");
    }
    return rule;
}

void check_listener(const Value& address, const ListenConfig& listen,
                    const std::vector<ListenConfig>& others) {
    const auto other = std::ranges::find_if(others, [&listen](const ListenConfig& o) {
        return (o.address.covers(listen.address) || listen.address.covers(o.address)) &&
               ((o.udp && listen.udp) || (o.takes(Protocol::tcp) && listen.takes(Protocol::tcp)));
    });
    if (other == others.end()) {
        return;
    }
    const std::string where = " in listen[" + std::to_string(other - others.begin()) + "]";
    if (other->address == listen.address) {
        address.refuse(listen.address.text() + " is already" + where +
                       "; give each address, port and protocol once");
    }
    const bool wider = listen.address.is_wildcard();
    address.refuse(listen.address.text() + (wider ? " includes " : " is included in ") +
                   other->address.text() + where + "; give either " +
                   in_quotes((wider ? listen : *other).address.host()) + " or single addresses");
}

void check_upstream_address(const Value& value, const Address& address,
                            const std::vector<Address>& others) {
    if (address.is_wildcard()) {
        value.refuse(in_quotes(address.host()) +
                     " is not the address of a server; give one such as "
                     "\"192.0.2.1\"");
    }
    if (std::ranges::find(others, address) != others.end()) {
        value.refuse(in_quotes(address.host()) + " is given twice; give each address once");
    }
}

void check_upstream(const Value& addresses, const UpstreamConfig& upstream,
                    const std::vector<UpstreamConfig>& others) {
    for (std::size_t i = 0; i < others.size(); ++i) {
        const UpstreamConfig& other = others[i];
        const auto shared = std::ranges::find_first_of(upstream.addresses, other.addresses);
        if (other.group == upstream.group && other.name == upstream.name &&
            other.path == upstream.path && other.source == upstream.source &&
            other.interface == upstream.interface && shared != upstream.addresses.end()) {
            addresses.refuse(shared->text() + " is already in upstreams[" + std::to_string(i) +
                             "] with the same name; give each server once");
        }
    }
}

} // namespace dotproxy
