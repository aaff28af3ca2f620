// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// KeyPair: a certificate that this server shows to its clients, with the chain that goes with it
// and its private key. What clients could not use is refused when it is loaded (E3).

#pragma once

#include "base/prefix.hh"

#include <cstdint>
#include <ctime>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy::tls {

/// What is wrong with one of the two files, for the administrator: "PATH: what is wrong; what would
/// be right".
class KeyPairError : public std::runtime_error {
  public:
    enum class File : std::uint8_t { chain, key };

    KeyPairError(File file, const std::string& what, bool denied = false)
        : std::runtime_error{what}, file_{file}, denied_{denied} {}

    [[nodiscard]] File file() const noexcept { return file_; }

    /// Whether this account may not read it.
    [[nodiscard]] bool denied() const noexcept { return denied_; }

  private:
    File file_;
    bool denied_;
};

/// What stands in a certificate.
struct CertificateFacts {
    std::string path;                     // of the chain
    std::vector<std::string> names{};     // DNS names, in lower case; they may begin with "*."
    std::vector<AddressBits> addresses{}; // IP addresses
    std::vector<std::string> literals{};  // the same in text
    gnutls_pk_algorithm_t algorithm{};    // of the key
    unsigned bits{0};                     // of the key
    std::time_t from{0};
    std::time_t until{0};
    std::vector<std::string> peculiarities{}; // some clients will refuse it, whenever it is

    /// "ECDSA 256"
    [[nodiscard]] std::string key_type() const;
    /// "dot.example, *.example, 192.0.2.1 (ECDSA 256), until 2026-11-28 12:00:00 UTC"
    [[nodiscard]] std::string text() const;
    /// What the administrator should know at `now`, a line each that begins with the path: it has
    /// expired or soon will, and the peculiarities (E4).
    [[nodiscard]] std::vector<std::string> warnings(std::time_t now) const;
};

class KeyPair {
  public:
    /// Reads PEM files, the chain with the server's own certificate first. Throws KeyPairError.
    [[nodiscard]] static KeyPair load(const std::string& chain_path, const std::string& key_path);

    [[nodiscard]] const CertificateFacts& facts() const noexcept { return facts_; }

    /// Its own certificate first.
    [[nodiscard]] const std::vector<gnutls_x509_crt_t>& chain() const noexcept { return raw_; }

    [[nodiscard]] gnutls_x509_privkey_t key() const noexcept { return key_.get(); }

  private:
    struct Free {
        void operator()(gnutls_x509_crt_int* p) const noexcept { gnutls_x509_crt_deinit(p); }

        void operator()(gnutls_x509_privkey_int* p) const noexcept {
            gnutls_x509_privkey_deinit(p); // which leaves nothing of it
        }
    };

    using OwnedCertificate = std::unique_ptr<gnutls_x509_crt_int, Free>;

    KeyPair() = default;
    [[nodiscard]] std::vector<OwnedCertificate> import_list(std::string_view text,
                                                            unsigned flags) const;
    void import_chain(std::string_view text);
    void import_key(const std::string& path, std::string_view text);
    void check_match(const std::string& key_path) const;
    void read_names();
    void read_facts();
    void check_leaf() const;
    void check_signatures() const;
    [[nodiscard]] bool is_self_signed() const noexcept;
    [[nodiscard]] bool must_staple() const;
    [[noreturn]] void refuse_chain(const std::string& what) const;

    CertificateFacts facts_;
    std::vector<OwnedCertificate> owned_;
    std::vector<gnutls_x509_crt_t> raw_;
    std::unique_ptr<gnutls_x509_privkey_int, Free> key_;
};

} // namespace dotproxy::tls
