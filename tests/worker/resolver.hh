// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A resolver that speaks DNS over TLS on a port of 127.0.0.1 and does what a test tells it. It
// lives in the test's own process and moves only in step().

#pragma once

#include "base/address.hh"
#include "base/fd.hh"
#include "dns/messages.hh"
#include "tls/peer.hh"

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace dotproxy::test {

/// A query that has come in.
struct Asked {
    std::size_t session{0};
    std::uint16_t id{0};
    std::string name; // dotted, as it was spelled
    std::uint16_t type{0};
    std::vector<std::uint8_t> message;
};

class Resolver {
  public:
    /// `service` outlives it.
    explicit Resolver(const tls::test::Service& service);

    [[nodiscard]] const Address& address() const noexcept { return address_; }

    /// Accepts, takes in what has come, answers where it does so by itself, writes.
    void step();

    /// The right answer: one address, or nothing for a type that has none.
    void answer(const Asked& asked);
    /// The same, and how long the connection may stay idle, in tenths of a second (RFC 7828).
    void answer_with_keepalive(const Asked& asked, std::uint16_t tenths);
    /// One message in a frame.
    void send(std::size_t session, std::span<const std::uint8_t> message);
    /// Octets as they are, in a TLS record of their own.
    void send_raw(std::size_t session, std::span<const std::uint8_t> octets);
    /// Ends a connection: in order, or as a process that was killed.
    void close(std::size_t session, bool in_order = true);
    /// Ends all connections, and refuses new ones from now on.
    void stop();
    /// Listens again, on the same port.
    void start();

    /// How many connections there ever were, and whether one still is.
    [[nodiscard]] std::size_t sessions() const noexcept { return sessions_.size(); }

    [[nodiscard]] bool is_open(std::size_t session) const { return sessions_.at(session)->open; }

    /// Whether the client has ended the connection with close_notify.
    [[nodiscard]] bool left_in_order(std::size_t session) const {
        return sessions_.at(session)->tls.closed;
    }

    /// What was received of a session in all, as plaintext.
    [[nodiscard]] std::size_t octets_received(std::size_t session) const {
        return sessions_.at(session)->tls.received.size();
    }

    /// The far end of a session, for what is no message. What it says leaves with the next step.
    [[nodiscard]] tls::test::Server& tls(std::size_t session) { return sessions_.at(session)->tls; }

    /// Takes the oldest query that was not answered.
    [[nodiscard]] Asked take();

    std::deque<Asked> asked;     // queries that were not answered, oldest first
    std::size_t asked_in_all{0}; // with those that were
    bool answers{true};          // each query at once
    bool shakes_hands{true};     // else new connections hang in their handshake

  private:
    struct Session {
        Session(const tls::test::Service& service, Fd its_socket)
            : socket{std::move(its_socket)}, tls{service} {}

        Fd socket;
        tls::test::Server tls;
        std::size_t parsed{0};
        bool open{true};
    };

    void accept();
    void read(Session& session);
    void parse(std::size_t index);
    static void write(Session& session);

    const tls::test::Service& service_;
    Fd listening_;
    Address address_;
    std::vector<std::unique_ptr<Session>> sessions_;
};

/// The right answer to a query, with one address, or more of them.
[[nodiscard]] dns::test::Message right_answer(const Asked& asked);

} // namespace dotproxy::test
