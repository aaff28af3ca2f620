// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Makes certificates for tests, good ones and each kind of bad one. Ends the test program when
// GnuTLS refuses to make one.

#pragma once

#include "tls/identity.hh"

#include <chrono>
#include <cstdint>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <memory>
#include <string>
#include <vector>

namespace dotproxy::tls::test {

/// Ends the program unless `result` is a success.
void must(int result, const char* what);

enum class Key : std::uint8_t { p256, rsa_1024, rsa_2048 };

/// What a certificate shall say. The defaults make a good server certificate without a name.
struct Request {
    std::string common_name{"test"};
    std::vector<std::string> dns{};
    std::vector<std::string> ips{};
    std::string raw_dns{}; // up to 100 octets: a name that GnuTLS itself would not write, alone
    std::string email{};
    std::chrono::seconds from{-std::chrono::hours{24}}; // from now
    std::chrono::seconds until{std::chrono::hours{24}};
    bool authority{false};
    std::string permitted{}; // a name constraint: only names below this one
    const char* purpose{GNUTLS_KP_TLS_WWW_SERVER};
    Key key{Key::p256};
    gnutls_digest_algorithm_t digest{GNUTLS_DIG_SHA256};
    bool must_staple{false};
};

/// A certificate and its private key.
class Certificate {
  public:
    Certificate();

    [[nodiscard]] gnutls_x509_crt_t crt() const noexcept { return crt_.get(); }

    [[nodiscard]] gnutls_x509_privkey_t key() const noexcept { return key_.get(); }

    [[nodiscard]] std::string pem() const;
    /// Of the private key.
    [[nodiscard]] std::string key_pem() const;

    /// Reads itself back: only then GnuTLS knows the names that link a chain.
    void reload();

    /// Computed apart from the code under test: from the exported public key (G21).
    [[nodiscard]] SpkiPin pin() const;

  private:
    struct Free {
        void operator()(gnutls_x509_crt_int* p) const noexcept { gnutls_x509_crt_deinit(p); }

        void operator()(gnutls_x509_privkey_int* p) const noexcept {
            gnutls_x509_privkey_deinit(p);
        }
    };

    std::unique_ptr<gnutls_x509_crt_int, Free> crt_;
    std::unique_ptr<gnutls_x509_privkey_int, Free> key_;
};

/// Makes a certificate, signed by `issuer` or, without one, by itself.
[[nodiscard]] Certificate issue(const Request& request, const Certificate* issuer = nullptr);

/// A file that is gone with the object.
class TemporaryFile {
  public:
    explicit TemporaryFile(const std::string& content);
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile();

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

  private:
    std::string path_;
};

} // namespace dotproxy::tls::test
