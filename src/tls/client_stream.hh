// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ClientStream: the session with an upstream. It is ready when the peer has been verified, and
// nothing can be sent or received before.

#pragma once

#include "base/buffer.hh"
#include "tls/client_context.hh"
#include "tls/identity.hh"
#include "tls/session.hh"
#include "tls/tickets.hh"
#include "tls/verify.hh"

#include <gnutls/gnutls.h>

namespace dotproxy::tls {

class ClientStream final : public Session {
  public:
    /// The context, identity and tickets outlive the stream. A ticket is taken where there is one.
    ClientStream(const ClientContext& context, const Identity& identity, Tickets& tickets) noexcept;

    /// Goes on with the handshake. done: the peer has proved its identity, whether the session is
    /// new or resumed (G8).
    [[nodiscard]] Io handshake() noexcept;

    /// Where the peer is untrusted: why.
    [[nodiscard]] Refusal refusal() const noexcept { return refusal_; }

  private:
    static int keep_ticket(gnutls_session_t session, unsigned type, unsigned when,
                           unsigned incoming, const gnutls_datum_t* message) noexcept;
    static int verify(gnutls_session_t session) noexcept;

    [[nodiscard]] bool set_up() noexcept;
    void offer_ticket() noexcept;
    [[nodiscard]] bool check_peer() noexcept;

    const ClientContext& context_;
    const Identity& identity_;
    Tickets& tickets_;
    Buffer octets_; // the session's output
    Refusal refusal_{Refusal::other};
    bool verified_{false};        // set by check_peer() alone; without it nothing makes it ready
    bool ticket_is_sound_{false}; // of the ticket that is being received
};

} // namespace dotproxy::tls
