// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ServerStream: the session with a client over TLS. It is ready when the handshake is over; who the
// client is, is not asked, but what it means to speak (ALPN, RFC 7301).

#pragma once

#include "base/address.hh"
#include "base/buffer.hh"
#include "tls/server_context.hh"
#include "tls/session.hh"

#include <cstddef>
#include <cstdint>
#include <gnutls/gnutls.h>

namespace dotproxy::tls {

/// What clients may speak at a port.
struct Offer {
    bool dot{false};  // DNS in frames (RFC 7858)
    bool http{false}; // HTTP/2, or what was before
};

class ServerStream final : public Session {
  public:
    /// `local`: where the client came to. The context and `output` outlive the stream.
    ServerStream(const ServerContext& context, const Address& local, const Offer& offer,
                 Buffer& output) noexcept;

    enum class Application : std::uint8_t { unsaid, dot, http2, http1 };

    /// What the client has chosen of it; meaningful when ready. unsaid: it leaves that to what it
    /// sends. Who chooses something else gets no further than the handshake (E22).
    [[nodiscard]] Application application() const noexcept;

    /// Goes on with the handshake. done: the client has what it takes to resume the session as
    /// well.
    [[nodiscard]] Io handshake() noexcept;

    /// Whether a ClientHello was understood: what it costs to answer one has been spent.
    [[nodiscard]] bool greeted() const noexcept { return greeted_; }

    /// Whether the session is an earlier one's continuation; meaningful once greeted().
    [[nodiscard]] bool resumes() const noexcept;

    /// Why a handshake came to nothing.
    enum class Ending : std::uint8_t {
        closed,       // the client left, with or without a word
        certificate,  // the client said that it does not accept ours
        incompatible, // there is no version, cipher or protocol that both would speak
        nonsense,     // what came was no TLS, or broke its rules
    };

    /// Meaningful when the handshake has failed.
    [[nodiscard]] Ending ending() const noexcept;

  private:
    static int on_hello(gnutls_session_t session) noexcept;

    [[nodiscard]] static Ending ending_by(int alert) noexcept;
    [[nodiscard]] bool set_up(const Offer& offer) noexcept;
    void choose_certificate() noexcept;
    void send_ticket() noexcept;

    const ServerContext& context_;
    Address local_;
    std::size_t heard_{0}; // octets, during the handshake
    bool greeted_{false};
};

} // namespace dotproxy::tls
