// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Client: one socket of the load generator, UDP, TCP or TLS, and the queries that wait on it. Sends
// when told to; says when answers have come; never decides when to ask.

#pragma once

#include "base/buffer.hh"
#include "base/clock.hh"
#include "base/fd.hh"
#include "base/loop.hh"
#include "bench/names.hh"
#include "bench/statistics.hh"
#include "dns/wire.hh"
#include "tls/client_context.hh"
#include "tls/client_stream.hh"
#include "tls/identity.hh"
#include "tls/tickets.hh"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace dotproxy::bench {

enum class Transport : std::uint8_t { udp, tcp };

class Client;

/// Who a client belongs to.
class Owner {
  public:
    /// Answers have come, or the connection is gone: there is room for other queries.
    virtual void on_room(Client& client, TimePoint now) noexcept = 0;

  protected:
    ~Owner() = default;
};

/// What clients over TLS have in common.
struct Trust {
    tls::ClientContext context;
    tls::Identity server;
    tls::Tickets tickets{};
    bool resumes{false}; // connections continue the session of one before
};

class Client final : public Watch {
  public:
    /// What all clients have in common; outlives them.
    struct Shared {
        Loop& loop;
        Names& names;
        Statistics& statistics;
        Owner& owner;
        Transport transport;
        Trust* trust; // nullptr: not over TLS
        std::uint16_t port;
        Milliseconds timeout;
        std::uint32_t ring; // queries between the oldest and the newest of a client; a power of two
    };

    /// `from`: the IPv4 address that it asks from, as a number; 0: the kernel's choice.
    Client(Shared& shared, std::uint32_t from);

    /// Opens a socket and connects it to the server; false when that fails at once.
    [[nodiscard]] bool open() noexcept;
    /// Closes it; what waits on it is lost.
    void close() noexcept;

    [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(fd_); }

    /// Sends `count` queries, or as many as there is room for.
    void ask(std::size_t count, TimePoint now) noexcept;

    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }

    /// Gives up what has waited too long.
    void expire(TimePoint now) noexcept;

    void on_ready(std::uint32_t events) noexcept override;

  private:
    struct Pending {
        TimePoint sent;
        std::uint32_t name{0};
        bool waits{false};
    };

    [[nodiscard]] Pending& pending(std::uint32_t sequence) noexcept {
        return pending_[sequence % pending_.size()];
    }

    [[nodiscard]] bool has_room() const noexcept { return newest_ - oldest_ < pending_.size(); }

    [[nodiscard]] dns::Octets make_query(TimePoint now) noexcept;
    void ask_udp(std::size_t count, TimePoint now) noexcept;
    void ask_tcp(std::size_t count, TimePoint now) noexcept;
    [[nodiscard]] bool read_udp(TimePoint now) noexcept;
    [[nodiscard]] bool read_tcp(TimePoint now) noexcept;
    [[nodiscard]] bool take_in(dns::Octets octets) noexcept;
    void count_records(dns::Octets octets, TimePoint now) noexcept;
    void take(dns::Octets message, TimePoint now) noexcept;
    void settle(std::uint32_t sequence) noexcept;
    void flush() noexcept;

    Shared& shared_;
    std::uint32_t from_;
    Fd fd_;
    Watching watching_;
    std::vector<Pending> pending_;
    std::uint32_t oldest_{0}; // [oldest_, newest_) are the sequence numbers that may still wait
    std::uint32_t newest_{0};
    std::size_t waiting_{0};
    Buffer input_;
    Buffer output_;
    bool blocked_{false}; // output waits for EPOLLOUT
    tls::Tickets unused_; // of who resumes nothing
    std::unique_ptr<tls::ClientStream> stream_;
    std::array<std::uint8_t, 5> record_{}; // header of the one that is being read
    std::size_t record_at_{0};             // octets of the header that are there
    std::size_t record_left_{0};           // octets behind it that are not
};

} // namespace dotproxy::bench
