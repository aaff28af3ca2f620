// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ClientContext: what all TLS sessions to upstreams with the same trust anchors share: these and
// the protocol policy. Made in the master before it forks (G24), so that the workers share its
// memory. Outlives every ClientStream.

#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <memory>
#include <string>
#include <vector>

namespace dotproxy::tls {

class ClientContext {
  public:
    /// Loads the trust anchors from a PEM file. Throws std::runtime_error that says what is wrong
    /// when the file cannot be read or holds no certificate.
    explicit ClientContext(const std::string& ca_file);

    [[nodiscard]] gnutls_certificate_credentials_t credentials() const noexcept;
    [[nodiscard]] gnutls_priority_t priority() const noexcept;
    /// The trust anchors, for building a chain apart from a handshake (pins, G21).
    [[nodiscard]] gnutls_x509_trust_list_t trust() const noexcept;

  private:
    struct Free {
        void operator()(gnutls_certificate_credentials_st* p) const noexcept;
        void operator()(gnutls_priority_st* p) const noexcept;
    };

    std::unique_ptr<gnutls_certificate_credentials_st, Free> credentials_;
    std::unique_ptr<gnutls_priority_st, Free> priority_;
};

/// For each upstream, in the order of the configuration, what its sessions share. Those with the
/// same file of trust anchors have the same one.
using ClientContexts = std::vector<std::shared_ptr<const ClientContext>>;

/// "3.7.9": the GnuTLS that is in use, not the one of the build.
[[nodiscard]] const char* library_version() noexcept;

} // namespace dotproxy::tls
