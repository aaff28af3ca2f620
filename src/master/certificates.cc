// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/certificates.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <pwd.h>
#include <unistd.h>

namespace dotproxy {

namespace {

/// Who this process is, for a message: "user _dotproxy".
std::string account_text() {
    const passwd* const entry =
        ::getpwuid(::geteuid()); // NOLINT(concurrency-mt-unsafe): one thread
    return "user " + (entry != nullptr ? std::string{entry->pw_name} : std::to_string(::geteuid()));
}

[[noreturn]] void refuse(const CertificateConfig& config, const tls::KeyPairError& problem) {
    const bool of_key = problem.file() == tls::KeyPairError::File::key;
    throw ConfigError{(of_key ? config.key_place : config.chain_place) + ": " + problem.what() +
                      (problem.denied() ? " (read as " + account_text() +
                                              "); see CERTIFICATES in dotproxy.conf(5)"
                                        : "")};
}

} // namespace

ServerTls load_certificates(const Config& config,
                            const std::shared_ptr<const tls::TicketKey>& key) {
    if (config.certificates.empty()) {
        return nullptr;
    }
    std::vector<tls::KeyPair> pairs;
    for (const CertificateConfig& one : config.certificates) {
        try {
            pairs.push_back(tls::KeyPair::load(one.chain, one.key));
        } catch (const tls::KeyPairError& problem) {
            refuse(one, problem);
        }
    }
    try {
        return std::make_shared<const tls::ServerContext>(pairs, key);
    } catch (const std::exception& problem) {
        throw ConfigError{config.places.certificates + ": " + problem.what()};
    }
}

ServerTls try_certificates(const Config& config) {
    return config.certificates.empty()
               ? nullptr
               : load_certificates(config, std::make_shared<const tls::TicketKey>());
}

std::vector<std::string> describe(const ServerTls& tls) {
    std::vector<std::string> lines;
    if (tls != nullptr) {
        for (const tls::CertificateFacts& one : tls->certificates()) {
            lines.push_back(one.path + ": " + one.text());
        }
    }
    return lines;
}

std::vector<std::string> warnings_of(const Config& config, const ServerTls& tls) {
    std::vector<std::string> lines;
    if (tls != nullptr) {
        for (const tls::CertificateFacts& one : tls->certificates()) {
            for (const std::string& line : one.warnings(std::time(nullptr))) {
                lines.push_back(config.places.certificates + ": " + line);
            }
        }
    }
    return lines;
}

std::uint64_t seconds_left(const ServerTls& tls) noexcept {
    const std::time_t now = std::time(nullptr);
    return tls == nullptr || tls->earliest_end() <= now
               ? 0
               : static_cast<std::uint64_t>(tls->earliest_end() - now);
}

} // namespace dotproxy
