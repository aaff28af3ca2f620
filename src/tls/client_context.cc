// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ClientContext: the trust anchors and the protocol policy.

#include "tls/client_context.hh"

#include "tls/policy.hh"
#include "tls/verify.hh"

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace dotproxy::tls {

namespace {

// The largest key a peer may make us verify with (G28).
constexpr unsigned key_bits_max = 8192;

void require(int result, const char* what) {
    if (result < 0) {
        throw std::runtime_error(std::string{what} + ": " + gnutls_strerror(result));
    }
}

struct FreeFile {
    void operator()(gnutls_datum_t* p) const noexcept { gnutls_free(p->data); }
};

struct FreeCertificate {
    void operator()(gnutls_x509_crt_int* p) const noexcept { gnutls_x509_crt_deinit(p); }
};

/// Why one block of PEM is no certificate; empty when it is one.
std::string problem_of(std::string_view block) {
    gnutls_x509_crt_t raw = nullptr;
    require(gnutls_x509_crt_init(&raw), "a certificate");
    const std::unique_ptr<gnutls_x509_crt_int, FreeCertificate> owner{raw};
    std::string copy{block}; // GnuTLS takes no const
    const gnutls_datum_t pem{reinterpret_cast<unsigned char*>(copy.data()),
                             static_cast<unsigned>(copy.size())};
    const int result = gnutls_x509_crt_import(raw, &pem, GNUTLS_X509_FMT_PEM);
    return result < 0 ? gnutls_strerror(result) : std::string{};
}

/// Which certificate of a file GnuTLS stumbled over, counted from 1, and the line it begins on: the
/// library takes all or nothing, and does not say.
std::string broken_certificate(std::string_view text) {
    constexpr std::string_view begin = "-----BEGIN ";
    constexpr std::string_view kind = "CERTIFICATE-----";
    unsigned number = 0;
    for (std::size_t at = text.find(begin); at != std::string_view::npos;) {
        const std::size_t next = text.find(begin, at + begin.size());
        const std::string_view block = text.substr(at, next - at);
        if (block.substr(0, block.find('\n')).find(kind) != std::string_view::npos) {
            ++number;
            if (const std::string problem = problem_of(block); !problem.empty()) {
                const auto line = 1 + std::ranges::count(text.substr(0, at), '\n');
                return "certificate " + std::to_string(number) + ", which begins in line " +
                       std::to_string(line) + ", is broken: " + problem;
            }
        }
        at = next;
    }
    return {};
}

/// Whether a file is a certificate in its binary form: a SEQUENCE of more than 255 octets.
bool looks_like_der(std::string_view text) noexcept {
    return text.starts_with("\x30\x82");
}

void load_anchors(gnutls_certificate_credentials_t credentials, const std::string& path) {
    gnutls_datum_t pem{};
    errno = 0;
    if (gnutls_load_file(path.c_str(), &pem) < 0) {
        throw std::runtime_error(path + ": " + std::generic_category().message(errno));
    }
    const std::unique_ptr<gnutls_datum_t, FreeFile> owner{&pem};
    const std::string_view text{reinterpret_cast<const char*>(pem.data), pem.size};
    const int loaded =
        gnutls_certificate_set_x509_trust_mem(credentials, &pem, GNUTLS_X509_FMT_PEM);
    if (loaded == 0 || loaded == GNUTLS_E_NO_CERTIFICATE_FOUND) {
        throw std::runtime_error(path + ": no certificate in it" +
                                 (looks_like_der(text) ? ", or in DER, which openssl x509 makes "
                                                         "PEM of"
                                                       : ""));
    }
    if (loaded < 0) {
        if (const std::string broken = broken_certificate(text); !broken.empty()) {
            throw std::runtime_error(path + ": " + broken);
        }
    }
    require(loaded, path.c_str());
}

} // namespace

ClientContext::ClientContext(const std::string& ca_file) {
    gnutls_certificate_credentials_t credentials = nullptr;
    require(gnutls_certificate_allocate_credentials(&credentials), "TLS credentials");
    credentials_.reset(credentials);
    gnutls_certificate_set_verify_limits(credentials, key_bits_max, chain_length_max);
    load_anchors(credentials, ca_file);

    gnutls_priority_t priority = nullptr;
    require(gnutls_priority_init2(&priority, policy, nullptr, GNUTLS_PRIORITY_INIT_DEF_APPEND),
            "TLS policy");
    priority_.reset(priority);
}

gnutls_certificate_credentials_t ClientContext::credentials() const noexcept {
    return credentials_.get();
}

gnutls_priority_t ClientContext::priority() const noexcept {
    return priority_.get();
}

gnutls_x509_trust_list_t ClientContext::trust() const noexcept {
    gnutls_x509_trust_list_t list = nullptr;
    gnutls_certificate_get_trust_list(credentials_.get(), &list);
    return list;
}

void ClientContext::Free::operator()(gnutls_certificate_credentials_st* p) const noexcept {
    gnutls_certificate_free_credentials(p);
}

void ClientContext::Free::operator()(gnutls_priority_st* p) const noexcept {
    gnutls_priority_deinit(p);
}

const char* library_version() noexcept {
    return gnutls_check_version(nullptr);
}

} // namespace dotproxy::tls
