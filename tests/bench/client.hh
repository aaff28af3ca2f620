// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Client: one socket of the load generator, UDP or TCP, and the queries that wait on it. Sends
// when told to; says when answers have come; never decides when to ask. Names says what is asked.

#pragma once

#include "base/buffer.hh"
#include "base/clock.hh"
#include "base/fd.hh"
#include "base/loop.hh"
#include "bench/statistics.hh"
#include "dns/wire.hh"

#include <cstdint>
#include <string>
#include <vector>

namespace dotproxy::bench {

enum class Transport : std::uint8_t { udp, tcp };

/// Makes queries for A records of "qNNNNNNNN.TAG.bench.example.com", without EDNS.
class Names {
  public:
    /// `tag`: one label of at most 63 octets. `distinct`: how many names there are, asked in turn;
    /// 0: no name ever comes twice.
    Names(const std::string& tag, std::uint32_t distinct);

    /// The next query, under the ID given. Valid until the next call.
    [[nodiscard]] dns::Octets next(std::uint16_t id) noexcept;

    /// The number of what next() gave last.
    [[nodiscard]] std::uint32_t last() const noexcept { return last_; }

    /// Whether a message asks, or answers, the query of that number.
    [[nodiscard]] bool is_about(dns::Octets message, std::uint32_t number) noexcept;

  private:
    void write(std::uint32_t number) noexcept;

    std::vector<std::uint8_t> query_;
    std::uint32_t distinct_;
    std::uint32_t next_{0};
    std::uint32_t last_{0};
};

class Client;

/// Who a client belongs to.
class Owner {
  public:
    /// Answers have come, or the connection is gone: there is room for other queries.
    virtual void on_room(Client& client, TimePoint now) noexcept = 0;

  protected:
    ~Owner() = default;
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
        std::uint16_t port;
        Milliseconds timeout;
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
    static constexpr std::uint32_t ring = 16384; // queries between the oldest and the newest

    struct Pending {
        TimePoint sent;
        std::uint32_t name{0};
        bool waits{false};
    };

    [[nodiscard]] Pending& pending(std::uint32_t sequence) noexcept {
        return pending_[sequence % ring];
    }

    [[nodiscard]] bool has_room() const noexcept { return newest_ - oldest_ < ring; }

    [[nodiscard]] dns::Octets make_query(TimePoint now) noexcept;
    void ask_udp(std::size_t count, TimePoint now) noexcept;
    void ask_tcp(std::size_t count, TimePoint now) noexcept;
    [[nodiscard]] bool read_udp(TimePoint now) noexcept;
    [[nodiscard]] bool read_tcp(TimePoint now) noexcept;
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
    bool blocked_{false}; // output_ waits for EPOLLOUT
};

} // namespace dotproxy::bench
