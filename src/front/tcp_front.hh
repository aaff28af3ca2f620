// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpFront: all TCP clients of a worker, on all its listening sockets. Queries are taken as they
// come and answered as their answers come (C5, C6). What one client can make us hold is bounded: so
// many queries in flight, so many octets of answers; beyond that it is not read (L29). So is how
// many connections one address can have (C15).

#pragma once

#include "base/deadline.hh"
#include "base/listener.hh"
#include "base/slab.hh"
#include "front/handover.hh"
#include "front/tcp_client.hh"
#include "front/tcp_deadlines.hh"
#include "front/tcp_intake.hh"
#include "front/tcp_places.hh"
#include "relay/client.hh"
#include "upstream/turn.hh"

#include <deque>
#include <optional>
#include <vector>

namespace dotproxy {

class CounterLease;
class Courtesy;
class Gate;
class Relay;

class TcpFront final : public Front {
  public:
    /// `all`: the counters of all workers, for the common limit of clients.
    TcpFront(Turn& turn, Gate& gate, Relay& relay, Courtesy& courtesy, const CounterLease& all,
             const Handover& handover);
    ~TcpFront();
    TcpFront(const TcpFront&) = delete;
    TcpFront& operator=(const TcpFront&) = delete;

    /// Starts to accept; false when the kernel refuses. `listener` outlives it.
    [[nodiscard]] bool open(const Listener& listener) { return intake_.open(listener); }

    /// Starts to take the connections that draining workers hand over; false as above.
    [[nodiscard]] bool open_handover() { return intake_.open_handover(); }

    /// Accepts and reads no more. Clients with nothing in flight leave: to the next generation
    /// where `to_successor`, else they are closed; the others follow when they have their answers.
    void drain(bool to_successor) noexcept;

    [[nodiscard]] bool idle() const noexcept { return clients_.size() == 0; }

    [[nodiscard]] dns::Channel channel(const dns::Asker& asker) const noexcept override;
    [[nodiscard]] dns::MutableOctets begin_answer(const Client& client,
                                                  std::size_t size) noexcept override;
    void end_answer(const Client& client, std::size_t size) noexcept override;

    /// A new connection, of who may ask; closed at once where there is no room for it.
    void welcome(Fd socket, const Address& peer, Standing standing) noexcept;
    /// One that another worker had, and what that one had read of a query; as above.
    void adopt(Fd socket, const Address& peer, Standing standing, dns::Octets unread) noexcept;
    /// Whether the other workers should come to the next connections first (L67).
    [[nodiscard]] bool more_than_its_share() const noexcept;

    void on_ready(TcpClient& client, std::uint32_t events) noexcept;

    /// Reads and writes where something is to be read or written, for as long as the turn has time
    /// for streams. Who does not come to it comes first in the next turn.
    void serve() noexcept;

    /// Whether somebody waits since the last turn.
    [[nodiscard]] bool behind() const noexcept { return behind_; }

    void expire() noexcept;
    void soonest(TimePoint& earliest) const noexcept;
    void flush() noexcept;
    void bury() noexcept;

  private:
    [[nodiscard]] TcpClient* admit(Fd socket, const Address& peer, Standing standing) noexcept;
    void refuse(const Fd& socket, Counter why) noexcept;

    void wait(TcpClient& client) noexcept;
    void visit(TcpClient& client) noexcept;
    [[nodiscard]] bool read(TcpClient& client) noexcept;
    void take(TcpClient& client, dns::Octets octets) noexcept;
    void take_one(TcpClient& client, dns::Octets message) noexcept;
    [[nodiscard]] bool may_take(const TcpClient& client) const noexcept;
    [[nodiscard]] bool may_ask(const TcpClient& client) const noexcept;
    void set_events(TcpClient& client) noexcept;
    void mark_dirty(TcpClient& client) noexcept;
    void write(TcpClient& client) noexcept;
    void leave(TcpClient& client) noexcept;
    void account(TcpClient& client) noexcept;
    [[nodiscard]] bool make_room(TcpClient& client) noexcept;
    void cut(TcpClient& client) noexcept;
    void close(TcpClient& client) noexcept;
    void close_blocked() noexcept;
    void count_clients() noexcept;

    Turn& turn_;
    Gate& gate_;
    Relay& relay_;
    const Handover& handover_;
    TcpPlaces places_; // before the clients, who have theirs in it
    // Deadlines, before what stands in them.
    TcpDeadlines deadlines_;
    DeadlineQueue<TcpClient> leaving_; // draining, and the handover was busy
    TcpIntake intake_;
    Slab<TcpClient> clients_;
    std::vector<TcpClient*> dirty_;
    std::deque<Handle> waiting_; // to be visited, in the order in which they came to this
    std::vector<TcpClient*> closed_;
    dns::MutableOctets room_; // given out by begin_answer(), with the prefix
    std::size_t held_{0};     // octets in the buffers of all clients
    bool behind_{false};      // not all who waited were visited in the last turn
    std::uint32_t blocked_version_{0};
    bool draining_{false};
    bool to_successor_{false};
    bool handover_full_{false}; // found so in this turn: the others need not try
};

} // namespace dotproxy
