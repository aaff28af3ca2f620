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

#include <cstdint>
#include <gnutls/gnutls.h>

namespace dotproxy::tls {

/// What is spoken within the session, by its name for ALPN (RFC 7301).
enum class Spoken : std::uint8_t {
    dot,   // "dot": offered, and not insisted on, since many servers do not know it (RFC 7858)
    http2, // "h2": the peer has to take it (RFC 9113, section 3.3)
};

class ClientStream final : public Session {
  public:
    /// The context, identity and tickets outlive the stream. A ticket is taken where there is one.
    ClientStream(const ClientContext& context, const Identity& identity, Tickets& tickets,
                 Spoken spoken = Spoken::dot) noexcept;

    /// Goes on with the handshake. done: the peer has proved its identity, whether the session is
    /// new or resumed (G8), and speaks what it has to.
    [[nodiscard]] Io handshake() noexcept;

    /// Where the peer is untrusted: why.
    [[nodiscard]] Refusal refusal() const noexcept { return refusal_; }

  private:
    static int keep_ticket(gnutls_session_t session, unsigned type, unsigned when,
                           unsigned incoming, const gnutls_datum_t* message) noexcept;
    static int verify(gnutls_session_t session) noexcept;

    [[nodiscard]] bool set_up() noexcept;
    [[nodiscard]] bool check_spoken() noexcept;
    void offer_ticket() noexcept;
    [[nodiscard]] bool check_peer() noexcept;

    const ClientContext& context_;
    const Identity& identity_;
    Tickets& tickets_;
    Buffer octets_; // the session's output
    Refusal refusal_{Refusal::other};
    Spoken spoken_;
    bool verified_{false};        // set by check_peer() alone; without it nothing makes it ready
    bool ticket_is_sound_{false}; // of the ticket that is being received
};

} // namespace dotproxy::tls
