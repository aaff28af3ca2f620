// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ServerContext: what all sessions with clients share: the certificates with their keys, and which
// of them is shown to whom, the protocol policy, the key of tickets. Made in the master before it
// forks (G24). Outlives every ServerStream.

#pragma once

#include "base/address.hh"
#include "base/prefix.hh"
#include "tls/key_pair.hh"
#include "tls/ticket_key.hh"

#include <ctime>
#include <gnutls/gnutls.h>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dotproxy::tls {

class ServerContext {
  public:
    /// The first of the pairs, at least one, is shown to who asks for what no certificate has.
    /// Throws std::runtime_error where two of them are for one name and have keys of one type.
    ServerContext(const std::vector<KeyPair>& pairs, std::shared_ptr<const TicketKey> ticket_key);

    /// What is shown to a client that asked for `name`, in lower case, at the address `local`
    /// (E7, E8): that name's certificates, one of each type of key, from which GnuTLS picks what
    /// the client can verify; else those whose wildcard covers it; else the first ones. Without a
    /// name: those that have the address.
    [[nodiscard]] gnutls_certificate_credentials_t credentials(std::string_view name,
                                                               const Address& local) const noexcept;

    /// Those of who asks for nothing that there is.
    [[nodiscard]] gnutls_certificate_credentials_t first() const noexcept { return first_; }

    [[nodiscard]] gnutls_priority_t priority() const noexcept { return priority_.get(); }

    [[nodiscard]] const gnutls_datum_t& ticket_key() const noexcept {
        return ticket_key_->octets();
    }

    /// What is in the certificates, in the order in which they were given.
    [[nodiscard]] const std::vector<CertificateFacts>& certificates() const noexcept {
        return facts_;
    }

    /// When the first of them ends.
    [[nodiscard]] std::time_t earliest_end() const noexcept;

  private:
    struct Free {
        void operator()(gnutls_certificate_credentials_st* p) const noexcept {
            gnutls_certificate_free_credentials(p);
        }

        void operator()(gnutls_priority_st* p) const noexcept { gnutls_priority_deinit(p); }
    };

    using Choice = std::vector<std::size_t>; // of pairs, by their place
    using Named = std::pair<std::string, gnutls_certificate_credentials_t>;
    using Addressed = std::pair<AddressBits, gnutls_certificate_credentials_t>;

    [[nodiscard]] Choice choice_for(const std::string& name) const;
    [[nodiscard]] Choice choice_for(const AddressBits& address) const;
    void add(Choice& choice, std::size_t at, const std::string& what) const;
    [[nodiscard]] gnutls_certificate_credentials_t
    credentials_of(Choice choice, const std::vector<KeyPair>& pairs);
    [[nodiscard]] gnutls_certificate_credentials_t find(std::string_view name) const noexcept;

    std::vector<CertificateFacts> facts_;
    std::map<Choice, std::unique_ptr<gnutls_certificate_credentials_st, Free>> credentials_;
    std::vector<Named> named_; // sorted; also wildcards, as they stand in the certificate
    std::vector<Addressed> addressed_;
    gnutls_certificate_credentials_t first_{nullptr};
    std::unique_ptr<gnutls_priority_st, Free> priority_;
    std::shared_ptr<const TicketKey> ticket_key_;
};

} // namespace dotproxy::tls
