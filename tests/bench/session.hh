// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Session: one connection of the benchmark's upstream, over which it is asked in frames or, where
// the peer has said h2 (ALPN), over HTTP/2. Owns its socket and its TLS state; decrypts, asks its
// Host to answer, and sends what a turn produced in as few TLS records as it fits into. Never
// decides what is answered, or when.

#pragma once

#include "base/buffer.hh"
#include "base/clock.hh"
#include "base/fd.hh"
#include "base/loop.hh"
#include "dns/wire.hh"
#include "http/server_context.hh"
#include "http/server_session.hh"

#include <array>
#include <cstdint>
#include <gnutls/gnutls.h>
#include <memory>
#include <type_traits>

namespace dotproxy::bench {

class Session;

/// What the upstream has seen. Printed as one line.
struct Counters {
    std::uint64_t connections{0};
    std::uint64_t handshakes{0}; // completed, resumed ones included
    std::uint64_t resumed{0};
    std::uint64_t queries{0};
    std::uint64_t requests{0}; // those of them that came over HTTP
    std::uint64_t records{0};  // TLS records that carried octets of queries
    std::uint64_t padded{0};   // queries whose size is a multiple of 128 (RFC 8467, section 4.1)
};

/// Memory that all sessions share, since only one of them runs at a time.
struct Scratch {
    std::array<std::uint8_t, 65536> raw;
    std::array<std::uint8_t, 16384> plain;
};

/// Who a session belongs to.
class Host {
  public:
    /// `lifetime`: that of answers, in seconds.
    explicit Host(std::uint32_t lifetime) : ttl{lifetime} {}

    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    /// A whole query has come. The host calls Session::answer() with the request, now or later.
    virtual void on_query(Session& session, std::uint32_t request, dns::Octets query) noexcept = 0;
    /// The first octets of a handshake have come. The host calls Session::resume(), now or later.
    virtual void on_hello(Session& session) noexcept = 0;
    /// The session is over; the host destroys it, but not before the turn has ended.
    virtual void on_closed(Session& session) noexcept = 0;

    const std::uint32_t ttl;
    Counters counters;
    Scratch scratch;
    http::ServerContext http{http_memory}; // and these two, for who is asked over HTTP
    http::Service service;

  protected:
    ~Host() = default;

  private:
    static constexpr std::size_t http_memory = std::size_t{256} << 20U;
};

class Session final : public Watch {
  public:
    using Id = std::uint64_t;

    /// Takes a connected, non-blocking socket.
    Session(Id id, Fd fd, Host& host, Loop& loop, gnutls_certificate_credentials_t credentials,
            gnutls_priority_t priority, const gnutls_datum_t& ticket_key);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    [[nodiscard]] Id id() const noexcept { return id_; }

    /// When the last octets came.
    [[nodiscard]] TimePoint active() const noexcept { return active_; }

    void on_ready(std::uint32_t events) noexcept override;

    /// Goes on with a handshake that on_hello() put off.
    void resume() noexcept;
    /// Queues one message; flush() sends it. Of a request that the peer has given up, nothing.
    void answer(std::uint32_t request, dns::Octets message) noexcept;
    void flush() noexcept;
    /// Ends the session the polite way: close_notify, then FIN.
    void close() noexcept;

  private:
    enum class State : std::uint8_t { fresh, held, handshake, open, closed };

    struct Deinit {
        void operator()(gnutls_session_t tls) const noexcept { gnutls_deinit(tls); }
    };

    static ssize_t pull(gnutls_transport_ptr_t self, void* to, std::size_t size) noexcept;
    static ssize_t push(gnutls_transport_ptr_t self, const void* from, std::size_t size) noexcept;

    void read_socket() noexcept;
    void advance() noexcept;
    [[nodiscard]] bool shake() noexcept;
    void read_records() noexcept;
    void take(dns::Octets plain) noexcept;
    [[nodiscard]] dns::Octets take_frames(dns::Octets stream) noexcept;
    void take_requests(dns::Octets plain) noexcept;
    void hear(std::uint32_t request, dns::Octets query) noexcept;
    [[nodiscard]] bool seal() noexcept;
    [[nodiscard]] bool send() noexcept;
    void want(std::uint32_t events) noexcept;
    void end() noexcept;

    Id id_;
    Fd fd_;
    Watching watching_;
    Host& host_;
    Loop& loop_;
    std::unique_ptr<std::remove_pointer_t<gnutls_session_t>, Deinit> tls_;
    State state_{State::fresh};
    std::uint32_t events_{EPOLLIN};
    TimePoint active_{Clock::now()};
    dns::Octets raw_; // what the socket gave in this turn and GnuTLS has not taken yet
    std::unique_ptr<http::ServerSession> http_; // null: it is asked in frames
    Buffer partial_;                            // the front of a frame whose rest has not come
    Buffer answers_;                            // plain
    Buffer output_;                             // TLS
};

} // namespace dotproxy::bench
