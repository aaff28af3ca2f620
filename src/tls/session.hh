// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Session: one TLS session as a transformer of octets, whatever its role: ClientStream and
// ServerStream say what makes it ready. It owns no socket: ciphertext that arrived is fed in,
// plaintext is taken out; plaintext to send goes in, ciphertext is appended to a buffer.
// Nothing can be sent or received before it is ready.

#pragma once

#include "base/buffer.hh"

#include <array>
#include <cstddef>
#include <cstdint>
#include <gnutls/gnutls.h>
#include <memory>
#include <optional>
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
    unfit,     // it is, and does not speak what it has to
};

class Session {
  public:
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Hands in ciphertext. It is borrowed: call handshake() or receive() until `again` before the
    /// memory goes away; by then all of it has been taken in (G1).
    void feed(std::span<const std::uint8_t> ciphertext) noexcept { input_ = ciphertext; }

    /// Says that no more ciphertext will come. What is still unread can be received first.
    void feed_end() noexcept { ended_ = true; }

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

    /// Whether the peer ended it without a word.
    [[nodiscard]] bool cut() const noexcept { return cut_; }

    /// Why it failed, for the log and the Extended DNS Error; empty unless failed.
    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

  protected:
    /// `flags`: of gnutls_init(), the role among them. `output` outlives it. A session that cannot
    /// be made has failed.
    Session(unsigned flags, Buffer& output) noexcept;
    ~Session();

    /// nullptr where it could not be made.
    [[nodiscard]] gnutls_session_t handle() const noexcept { return session_.get(); }

    /// How much of what was fed has not been taken in.
    [[nodiscard]] std::size_t fed() const noexcept { return input_.size(); }

    /// Goes on with GnuTLS's handshake. done: it is over, and whether the session is ready is the
    /// role's to say.
    [[nodiscard]] Io shake() noexcept;

    void set_ready() noexcept { ready_ = true; }

    /// The session is over. Only the first time counts.
    Io fail(Failure failure, std::string_view reason) noexcept;
    /// The same for an error of GnuTLS's; the peer is told where there is somebody to tell.
    Io fail_with(int error) noexcept;

    /// GnuTLS's error that ended it; 0: none.
    [[nodiscard]] int error() const noexcept { return error_; }

    /// The fatal alert that was taken in last, in the clear, before the session was ready; nullopt:
    /// something else was.
    [[nodiscard]] std::optional<int> clear_alert() const noexcept;

  private:
    struct Free {
        void operator()(gnutls_session_int* session) const noexcept;
    };

    // The transport that GnuTLS sees (G1, G3, G14).
    static ssize_t pull(gnutls_transport_ptr_t session, void* data, std::size_t size) noexcept;
    static ssize_t push(gnutls_transport_ptr_t session, const giovec_t* parts, int count) noexcept;
    static int pull_timeout(gnutls_transport_ptr_t session, unsigned milliseconds) noexcept;

    [[nodiscard]] bool more_to_read() const noexcept { return !input_.empty() || ended_; }

    void note_taken(std::span<const std::uint8_t> taken) noexcept;

    std::unique_ptr<gnutls_session_int, Free> session_;
    std::span<const std::uint8_t> input_;
    Buffer& output_;
    std::string reason_;
    std::array<std::uint8_t, 7> last_{}; // octets taken in, as many as the record of an alert has
    int error_{0};
    Failure failure_{Failure::none};
    bool ended_{false};
    bool cut_{false}; // GnuTLS has been told of the end
    bool ready_{false};
    bool closing_{false};
    bool resumed_{false};
};

} // namespace dotproxy::tls
