// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// GnuTLS compares names octet by octet, so that neither a wildcard nor an address is ever found,
// and then shows the first certificate (E7). So each name has credentials of its own, which hold
// nothing but what is right for it, and names with the same certificates share them.

#include "tls/server_context.hh"

#include "tls/policy.hh"
#include "tls/verify.hh"

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>
#include <utility>

namespace dotproxy::tls {

namespace {

// The order of the server counts: what is cheapest and as good as the others comes first (E14).
constexpr const char* ciphers =
    ":-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM:%SERVER_PRECEDENCE";

constexpr std::size_t most_name = 255;

void require(int result, const char* what) {
    if (result < 0) {
        throw std::runtime_error{std::string{what} + ": " + gnutls_strerror(result)};
    }
}

bool is_wildcard(std::string_view name) noexcept {
    return name.starts_with("*.");
}

bool has(const CertificateFacts& facts, const std::string& name) {
    return std::ranges::find(facts.names, name) != facts.names.end();
}

} // namespace

ServerContext::ServerContext(const std::vector<KeyPair>& pairs,
                             std::shared_ptr<const TicketKey> ticket_key)
    : ticket_key_{std::move(ticket_key)} {
    std::set<std::string, std::less<>> names;
    for (const KeyPair& pair : pairs) {
        facts_.push_back(pair.facts());
        names.insert(pair.facts().names.begin(), pair.facts().names.end());
    }
    for (const std::string& name : names) {
        named_.emplace_back(name, credentials_of(choice_for(name), pairs));
    }
    for (const CertificateFacts& facts : facts_) {
        for (const AddressBits& address : facts.addresses) {
            addressed_.emplace_back(address, credentials_of(choice_for(address), pairs));
        }
    }
    const CertificateFacts& front = facts_.front();
    first_ = credentials_of(front.names.empty() ? choice_for(front.addresses.front())
                                                : choice_for(front.names.front()),
                            pairs);
    gnutls_priority_t priority = nullptr;
    require(gnutls_priority_init2(&priority, (std::string{policy} + ciphers).c_str(), nullptr,
                                  GNUTLS_PRIORITY_INIT_DEF_APPEND),
            "TLS policy");
    priority_.reset(priority);
}

/// Adds a certificate to a choice, unless there is one with such a key.
void ServerContext::add(Choice& choice, std::size_t at, const std::string& what) const {
    const auto other = std::ranges::find_if(choice, [this, at](std::size_t one) {
        return facts_[one].algorithm == facts_[at].algorithm;
    });
    if (other == choice.end()) {
        choice.push_back(at);
    } else if (!what.empty()) {
        throw std::runtime_error{facts_[at].path + ": is for " + what + ", as is " +
                                 facts_[*other].path +
                                 ", and both have keys of one type; give one of them"};
    }
}

ServerContext::Choice ServerContext::choice_for(const std::string& name) const {
    Choice choice;
    for (std::size_t i = 0; i < facts_.size(); ++i) {
        if (has(facts_[i], name)) {
            add(choice, i, name);
        }
    }
    for (std::size_t i = 0; i < facts_.size() && !is_wildcard(name); ++i) {
        if (std::ranges::any_of(facts_[i].names, [&name](const std::string& pattern) {
                return is_wildcard(pattern) && covers(pattern, name);
            })) {
            add(choice, i, {});
        }
    }
    return choice;
}

ServerContext::Choice ServerContext::choice_for(const AddressBits& address) const {
    Choice choice;
    for (std::size_t i = 0; i < facts_.size(); ++i) {
        const auto& own = facts_[i].addresses;
        const auto found = std::ranges::find(own, address);
        if (found != own.end()) {
            add(choice, i, facts_[i].literals[static_cast<std::size_t>(found - own.begin())]);
        }
    }
    return choice;
}

gnutls_certificate_credentials_t ServerContext::credentials_of(Choice choice,
                                                               const std::vector<KeyPair>& pairs) {
    // Of those that a client can verify the first one is taken, and ECDSA costs a seventh of RSA.
    std::ranges::sort(choice, {}, [this](std::size_t one) {
        return std::pair{facts_[one].algorithm == GNUTLS_PK_RSA, one};
    });
    auto& known = credentials_[choice];
    if (known != nullptr) {
        return known.get();
    }
    gnutls_certificate_credentials_t made = nullptr;
    require(gnutls_certificate_allocate_credentials(&made), "TLS credentials");
    known.reset(made);
    for (const std::size_t one : choice) {
        std::vector<gnutls_x509_crt_t> chain = pairs[one].chain(); // GnuTLS takes no const
        require(gnutls_certificate_set_x509_key(made, chain.data(), static_cast<int>(chain.size()),
                                                pairs[one].key()),
                facts_[one].path.c_str());
    }
    return made;
}

gnutls_certificate_credentials_t ServerContext::find(std::string_view name) const noexcept {
    const auto found = std::lower_bound(
        named_.begin(), named_.end(), name,
        [](const Named& one, std::string_view other) { return one.first < other; });
    return found != named_.end() && found->first == name ? found->second : nullptr;
}

gnutls_certificate_credentials_t ServerContext::credentials(std::string_view name,
                                                            const Address& local) const noexcept {
    if (name.empty()) {
        const auto found = std::ranges::find(addressed_, AddressBits::of(local), &Addressed::first);
        return found != addressed_.end() ? found->second : first_;
    }
    if (gnutls_certificate_credentials_t exact = find(name); exact != nullptr) {
        return exact;
    }
    const std::size_t dot = name.find('.');
    if (dot == 0 || dot == std::string_view::npos || name.size() > most_name ||
        name.find('.', dot + 1) == std::string_view::npos) {
        return first_; // a wildcard covers one label, and of no name of two
    }
    std::array<char, most_name + 1> pattern{'*'};
    std::ranges::copy(name.substr(dot), pattern.begin() + 1);
    gnutls_certificate_credentials_t wildcard = find({pattern.data(), 1 + name.size() - dot});
    return wildcard != nullptr ? wildcard : first_;
}

std::time_t ServerContext::earliest_end() const noexcept {
    return std::ranges::min(facts_, {}, &CertificateFacts::until).until;
}

} // namespace dotproxy::tls
