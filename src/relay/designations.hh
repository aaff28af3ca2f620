// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Designations: of which encrypted ways to this resolver a client is told that asks in the clear
// (RFC 9462; E100 to E103).

#pragma once

#include "base/address.hh"
#include "config/config.hh"
#include "dns/answer.hh"
#include "dns/query.hh"
#include "relay/client.hh"
#include "tls/key_pair.hh"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace dotproxy {

class Designations {
  public:
    /// Those whose address stands in a certificate, and is one where a listener speaks TLS: nothing
    /// else proves to a client that it is the same resolver (E101).
    Designations(const std::vector<ListenConfig>& listen,
                 std::span<const tls::CertificateFacts> certificates);

    /// The answer to a question for the ways to the address that `client` has asked; nullopt: it is
    /// another question, or there are none.
    [[nodiscard]] std::optional<dns::Answer> find(const Client& client,
                                                  const dns::Question& question) const noexcept;

  private:
    struct Designation {
        Address address; // without a port
        std::uint16_t ways;
        std::vector<std::uint8_t> records;
    };

    [[nodiscard]] const Designation* at(const Address& address) const noexcept;

    std::vector<Designation> all_;
};

} // namespace dotproxy
