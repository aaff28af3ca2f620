// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Stream: one TLS session as a transformer of octets. It owns no socket: ciphertext that arrived is
// fed in, plaintext is taken out; plaintext to send goes in, ciphertext collects in output().
// Nothing can be sent or received before the peer has been verified.

#pragma once

#include "base/buffer.hh"
#include "tls/client_context.hh"
#include "tls/identity.hh"
#include "tls/tickets.hh"
#include "tls/verify.hh"

#include <cstdint>
#include <gnutls/gnutls.h>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace dotproxy::tls {

enum class Io : std::uint8_t {
    done,   // as asked
    again,  // more ciphertext is needed
    closed, // the peer ended the session in order
    failed, // the session is over: see failure() and reason()
};

/// Why a session failed.
enum class Failure : std::uint8_t {
    none,
    protocol,  // alert, garbage, cut off, out of memory
    untrusted, // the peer is not whom it has to be
};

class Stream {
  public:
    /// The context, identity and tickets outlive the stream. A ticket is taken where there is one.
    Stream(const ClientContext& context, const Identity& identity, Tickets& tickets) noexcept;
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream();

    /// Hands in ciphertext. It is borrowed: call handshake() or receive() until `again` before the
    /// memory goes away; by then all of it has been taken in (G1).
    void feed(std::span<const std::uint8_t> ciphertext) noexcept { input_ = ciphertext; }

    /// Says that no more ciphertext will come. What is still unread can be received first.
    void feed_end() noexcept { ended_ = true; }

    /// Goes on with the handshake. done: the peer has proved its identity, whether the session is
    /// new or resumed (G8).
    [[nodiscard]] Io handshake() noexcept;

    /// Takes out plaintext, at most `plain.size()` octets; `size` says how many when done.
    [[nodiscard]] Io receive(std::span<std::uint8_t> plain, std::size_t& size) noexcept;

    /// Encrypts all of `plain` (one record for each 16 KiB) to output(). failed before the
    /// handshake is done.
    [[nodiscard]] Io send(std::span<const std::uint8_t> plain) noexcept;

    /// Adds close_notify to output(); the peer's is not waited for (C73, G5).
    void close() noexcept;

    /// Ciphertext to be written to the peer; its user consumes it. After a failure it ends with the
    /// alert that tells the peer, if there is one to tell.
    [[nodiscard]] Buffer& output() noexcept { return output_; }

    [[nodiscard]] const Buffer& output() const noexcept { return output_; }

    [[nodiscard]] bool ready() const noexcept { return ready_; }

    [[nodiscard]] bool resumed() const noexcept { return resumed_; }

    /// "TLS 1.3"; meaningful once ready().
    [[nodiscard]] const char* version() const noexcept;

    [[nodiscard]] Failure failure() const noexcept { return failure_; }

    /// Where the peer is untrusted: why.
    [[nodiscard]] Refusal refusal() const noexcept { return refusal_; }

    /// Whether the peer ended it without a word.
    [[nodiscard]] bool cut() const noexcept { return cut_; }

    /// Why it failed, for the log and the Extended DNS Error; empty unless failed.
    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

  private:
    struct Free {
        void operator()(gnutls_session_int* session) const noexcept;
    };

    // The transport that GnuTLS sees (G1, G3, G14).
    static ssize_t pull(gnutls_transport_ptr_t stream, void* data, std::size_t size) noexcept;
    static ssize_t push(gnutls_transport_ptr_t stream, const giovec_t* parts, int count) noexcept;
    static int pull_timeout(gnutls_transport_ptr_t stream, unsigned milliseconds) noexcept;
    static int keep_ticket(gnutls_session_t session, unsigned type, unsigned when,
                           unsigned incoming, const gnutls_datum_t* message) noexcept;
    static int verify(gnutls_session_t session) noexcept;

    [[nodiscard]] bool set_up() noexcept;
    void offer_ticket() noexcept;
    [[nodiscard]] bool check_peer() noexcept;

    [[nodiscard]] bool more_to_read() const noexcept { return !input_.empty() || ended_; }

    Io fail(Failure failure, std::string_view reason) noexcept;
    Io fail_with(int error) noexcept;

    const ClientContext& context_;
    const Identity& identity_;
    Tickets& tickets_;
    std::unique_ptr<gnutls_session_int, Free> session_;
    std::span<const std::uint8_t> input_;
    Buffer output_;
    std::string reason_;
    Failure failure_{Failure::none};
    Refusal refusal_{Refusal::other};
    bool ended_{false};
    bool cut_{false};      // GnuTLS has been told of the end
    bool verified_{false}; // set by check_peer() alone; without it nothing makes ready_ true
    bool ready_{false};
    bool closing_{false};
    bool resumed_{false};
    bool ticket_is_sound_{false}; // of the ticket that is being received
};

} // namespace dotproxy::tls
