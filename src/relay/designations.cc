// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/designations.hh"

#include "dns/discovery.hh"
#include "dns/name_text.hh"

#include <algorithm>
#include <string>

namespace dotproxy {

namespace {

using Certificates = std::span<const tls::CertificateFacts>;

bool has(const std::vector<std::string>& all, const std::string& one) {
    return std::ranges::find(all, one) != all.end();
}

/// The first name of a certificate by which a client that connects to `literal` is shown no other
/// one than those that have that address, whatever kind of key it can verify (E7). Empty: none.
std::string target_for(const tls::CertificateFacts& certificate, const std::string& literal,
                       Certificates certificates) {
    const auto good = std::ranges::find_if(certificate.names, [&](const std::string& name) {
        return !name.starts_with("*.") && std::ranges::all_of(certificates, [&](const auto& other) {
            return !has(other.names, name) || has(other.literals, literal);
        });
    });
    return good != certificate.names.end() ? *good : std::string{};
}

/// The first listener for clients themselves that `speaks` it at that address.
const ListenConfig* listener_at(const std::vector<ListenConfig>& listen, const std::string& literal,
                                bool ListenConfig::*speaks) {
    const auto found = std::ranges::find_if(listen, [&](const ListenConfig& one) {
        const auto there = Address::parse(literal, one.address.port());
        return one.*speaks && !one.proxy_protocol && there && one.address.covers(*there);
    });
    return found != listen.end() ? &*found : nullptr;
}

/// HTTPS first, since what asks in this way can use it, and networks let it pass (E102).
std::vector<dns::Service> services_at(const std::vector<ListenConfig>& listen,
                                      const std::string& literal) {
    std::vector<dns::Service> services;
    if (const ListenConfig* const https = listener_at(listen, literal, &ListenConfig::doh)) {
        services.push_back({.alpn = "h2",
                            .port = https->address.port(),
                            .usual_port = default_doh_port,
                            .path = https->path});
    }
    if (const ListenConfig* const dot = listener_at(listen, literal, &ListenConfig::dot)) {
        services.push_back(
            {.alpn = "dot", .port = dot->address.port(), .usual_port = default_dot_port});
    }
    return services;
}

} // namespace

Designations::Designations(const std::vector<ListenConfig>& listen, Certificates certificates) {
    for (const tls::CertificateFacts& certificate : certificates) {
        for (const std::string& literal : certificate.literals) {
            const auto address = Address::parse(literal, 0);
            const auto target = dns::parse_name(target_for(certificate, literal, certificates));
            const std::vector<dns::Service> services = services_at(listen, literal);
            if (address && target && target->size > 1 && !services.empty() &&
                at(*address) == nullptr) {
                all_.push_back(
                    {.address = *address,
                     .ways = static_cast<std::uint16_t>(services.size()),
                     .records = dns::designation(*target, address->host_octets(), services)});
            }
        }
    }
}

const Designations::Designation* Designations::at(const Address& address) const noexcept {
    const auto found = std::ranges::find_if(all_, [&](const Designation& one) {
        return std::ranges::equal(one.address.host_octets(), address.host_octets());
    });
    return found != all_.end() ? &*found : nullptr;
}

std::optional<dns::Answer> Designations::find(const Client& client,
                                              const dns::Question& question) const noexcept {
    if (!dns::asks_for_designated(question) || client.encrypted || client.front == nullptr) {
        return std::nullopt;
    }
    const std::optional<Address> asked = client.front->asked_address(client);
    const Designation* const found = asked ? at(*asked) : nullptr;
    if (found == nullptr) {
        return std::nullopt;
    }
    return dns::Answer{.answers = found->ways, .additionals = 1, .records = found->records};
}

} // namespace dotproxy
