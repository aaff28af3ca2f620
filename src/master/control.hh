// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Control: the connections to the control socket. A request is a line, and so is each part of an
// answer (master/request.hh). It moves lines and does not understand them: the master takes the
// requests, and answers when it can.
//
// What a client sends, or does not send or read, costs the master a bounded amount of memory and
// never a wait.

#pragma once

#include "base/buffer.hh"
#include "base/clock.hh"
#include "master/control_socket.hh"

#include <cstdint>
#include <optional>
#include <poll.h>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy {

class Control {
  public:
    /// Names a client, and no other one ever after.
    using Client = std::uint64_t;

    /// A line that `client` has sent, without its end; one answer is due to it.
    struct Line {
        Client client;
        std::string text;
    };

    static constexpr std::size_t max_clients = 8;
    static constexpr std::size_t max_line = 1024; // octets, its end included
    /// How long a client may take over a request, and over reading the answer.
    static constexpr Clock::duration patience = std::chrono::seconds{10};

    /// Listens there from now on; those who are connected stay.
    void listen(ControlSocket socket) noexcept { socket_ = std::move(socket); }

    [[nodiscard]] const ControlSocket& socket() const noexcept { return socket_; }

    /// Appends what is to be waited for.
    void add_to(std::vector<pollfd>& polled) const;
    /// Takes what the wait has brought: of the entries that add_to() appended just before.
    void on_ready(std::span<const pollfd> polled, TimePoint now);

    /// The next line that somebody has sent whole, and has to be answered; nullopt: none.
    [[nodiscard]] std::optional<Line> next();
    /// Sends the answer to a line. Nothing happens when the client has gone.
    void answer(Client client, std::string_view text, TimePoint now);

    /// Closes the connections of those that let us wait.
    void expire(TimePoint now);
    /// When that is due next, or a time long past: next() has a line.
    [[nodiscard]] TimePoint nearest() const noexcept;

    /// Closes every descriptor and leaves the file alone; for a child of the process.
    void let_go() noexcept;

  private:
    struct Peer {
        Client number;
        Fd socket; // empty: it has gone, and is buried once no answer is due
        std::string in;
        Buffer out;
        TimePoint deadline; // max() while it waits for us
        bool asked{false};  // an answer is due
        bool ended{false};  // nothing more comes, or is read
    };

    void accept(TimePoint now);
    void receive(Peer& peer, TimePoint now);
    void send(Peer& peer) noexcept;
    [[nodiscard]] static bool has_line(const Peer& peer) noexcept;
    static void settle(Peer& peer) noexcept;
    void bury();

    ControlSocket socket_;
    std::vector<Peer> peers_;
    TimePoint accept_at_{TimePoint::min()}; // not before: the system had nothing to give
    Client clients_{0};
};

} // namespace dotproxy
