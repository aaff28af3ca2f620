// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "tls/ticket_key.hh"

#include <stdexcept>
#include <string>

namespace dotproxy::tls {

TicketKey::TicketKey() {
    const int result = gnutls_session_ticket_key_generate(&octets_);
    if (result < 0) {
        throw std::runtime_error{std::string{"a key for TLS tickets: "} + gnutls_strerror(result)};
    }
}

TicketKey::~TicketKey() {
    gnutls_memset(octets_.data, 0, octets_.size);
    gnutls_free(octets_.data);
}

} // namespace dotproxy::tls
