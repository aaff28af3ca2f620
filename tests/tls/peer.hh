// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Both ends of a TLS connection without a socket: a GnuTLS server that does what a test tells it,
// a driver for the ClientStream under test, and what carries octets between them.

#pragma once

#include "tls/client_stream.hh"
#include "tls/pki.hh"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <gnutls/gnutls.h>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy::tls::test {

using Octets = std::vector<std::uint8_t>;

/// Text as octets.
[[nodiscard]] std::span<const std::uint8_t> octets(std::string_view text) noexcept;

/// What several connections to one server have in common: its certificates and its ticket key.
class Service {
  public:
    /// Presents `chain` in this order, whether or not it is one, and holds `key`.
    Service(const std::vector<const Certificate*>& chain, const Certificate& key);
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    ~Service();

    [[nodiscard]] gnutls_certificate_credentials_t credentials() const noexcept {
        return credentials_;
    }

    [[nodiscard]] const gnutls_datum_t& ticket_key() const noexcept { return ticket_key_; }

    [[nodiscard]] std::size_t chain_length() const noexcept { return chain_length_; }

  private:
    std::size_t chain_length_;
    gnutls_certificate_credentials_t credentials_{nullptr};
    gnutls_datum_t ticket_key_{};
};

/// One GnuTLS session over two buffers, of either role, without any check of the other end.
class Endpoint {
  public:
    Endpoint(const Endpoint&) = delete;
    Endpoint& operator=(const Endpoint&) = delete;
    ~Endpoint();

    /// Takes in ciphertext and goes as far as it can: handshake, then application data.
    void take(std::span<const std::uint8_t> ciphertext);
    /// One record for each call (up to 16 KiB).
    void say(std::string_view text);

    [[nodiscard]] gnutls_session_t session() const noexcept { return session_; }

    Octets output;        // ciphertext for the other end
    std::string received; // application data
    bool shaken{false};   // the handshake is done
    bool closed{false};   // the other end's close_notify was seen
    int error{0};         // what ended the session

  protected:
    Endpoint(unsigned flags, const char* priority, gnutls_certificate_credentials_t credentials);

  private:
    static ssize_t pull(gnutls_transport_ptr_t self, void* data, std::size_t size);
    static ssize_t push(gnutls_transport_ptr_t self, const giovec_t* parts, int count);
    static int pull_timeout(gnutls_transport_ptr_t self, unsigned milliseconds);

    gnutls_session_t session_{nullptr};
    Octets input_;
};

class Server : public Endpoint {
  public:
    explicit Server(const Service& service, const char* priority = "NORMAL", unsigned flags = 0);
};

/// No certificates.
class NoCredentials {
  public:
    NoCredentials();
    NoCredentials(const NoCredentials&) = delete;
    NoCredentials& operator=(const NoCredentials&) = delete;
    ~NoCredentials();

    [[nodiscard]] gnutls_certificate_credentials_t get() const noexcept { return credentials_; }

  private:
    gnutls_certificate_credentials_t credentials_{nullptr};
};

/// A client that verifies nothing and offers what a test tells it to.
class AnyClient : private NoCredentials, public Endpoint {
  public:
    /// `name`: whom it asks for; nullptr: nobody.
    explicit AnyClient(const char* name = nullptr, const char* priority = "NORMAL");

    /// The application protocol that it offers.
    void offer(std::string_view protocol);
    /// The session that it would resume.
    void resume(const Octets& ticket);
    /// What it takes to resume the session; empty when there is no ticket yet.
    [[nodiscard]] Octets ticket() const;
    /// Whether it was shown this certificate.
    [[nodiscard]] bool was_shown(const Certificate& certificate) const;
};

/// A ClientStream and what it gave.
class Client {
  public:
    Client(const ClientContext& context, const Identity& identity, Tickets& tickets,
           Spoken spoken = Spoken::dot);

    /// Feeds ciphertext and drains the stream, as its user has to.
    void take(std::span<const std::uint8_t> ciphertext);
    /// Says that the peer's end of the connection is closed, and drains.
    void take_end();

    ClientStream stream;
    std::string plain;  // application data
    Io last{Io::again}; // what the stream answered last

  private:
    void drain();
};

/// How many of `size` octets arrive next.
using Chop = std::function<std::size_t(std::size_t size)>;

/// Carries octets both ways until neither end has more to say.
void carry(Client& client, Server& server, const Chop& chop = {});

/// Whether a client that verifies nothing and allows what GnuTLS itself can still do shakes hands
/// with a server of this priority: shows that a refusal by the ClientStream is its own.
[[nodiscard]] bool shakes_without_policy(const Service& service, const char* priority);

/// A ticket for a service, got by a client that verifies nothing (G8). Ends the program when the
/// service does not present all that it was given.
[[nodiscard]] Octets ticket_without_check(const Service& service);

} // namespace dotproxy::tls::test
