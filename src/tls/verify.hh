// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The one place that decides whether a peer is whom it has to be.
//
// With a name: the presented chain must lead to a trust anchor, for server use, and the name must
// stand among the leaf's subjectAltNames of its own type; the common name counts for nothing
// (RFC 8310, section 8.1). With pins as well, one of them must also be the key of the leaf or of a
// certificate on the validated path.
//
// With pins alone (RFC 7858, section 4.2, and RFC 8310) there are two ways. A pinned leaf key is
// proof in itself: the handshake shows that the peer holds it, so who signed its certificate does
// not matter, and it may be self-signed; but its dates, its key's strength and server use still
// count, since a pin is no licence for a dead or misused certificate. A key pinned higher up only
// vouches for others: there the path must be valid up to a trust anchor, and whoever the pinned CA
// certifies is accepted. A certificate that is merely presented never matches (C65, G11).

#pragma once

#include "tls/client_context.hh"
#include "tls/identity.hh"

#include <cstdint>
#include <gnutls/gnutls.h>
#include <span>
#include <string>
#include <string_view>

namespace dotproxy::tls {

/// How many certificates a peer may present (G28).
inline constexpr unsigned chain_length_max = 8;

/// Why a peer is not trusted, for who counts.
enum class Refusal : std::uint8_t {
    name, // the certificate is for somebody else
    expired,
    not_yet_valid,
    untrusted_ca, // no trust anchor signed it
    pin,          // no key in the chain is pinned
    other,
};

/// The outcome of a check; nobody is trusted by default.
struct Verdict {
    bool trusted{false};
    std::string reason; // why not; short and printable, the names that the peer wrote included
    Refusal refusal{Refusal::other};
};

/// Checks the certificate of a session's peer, from a full handshake or a resumed one (G8).
[[nodiscard]] Verdict verify_peer(gnutls_session_t session, const ClientContext& context,
                                  const Identity& identity) noexcept;

/// Whether a dNSName of a certificate covers `name` (lower case, no trailing dot). A wildcard
/// stands for exactly one whole left-most label, in front of at least two others (C63).
[[nodiscard]] bool covers(std::string_view pattern, std::string_view name) noexcept;

} // namespace dotproxy::tls
