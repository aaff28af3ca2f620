// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpFront: all TCP clients of a worker, on all its listening sockets. Queries are taken as they
// come and answered as their answers come (C5, C6). What one client can make us hold is bounded: so
// many queries in flight, so many octets of answers; beyond that it is not read (L29).

#pragma once

#include "base/deadline.hh"
#include "base/listener.hh"
#include "base/slab.hh"
#include "proxy/client.hh"
#include "proxy/handover.hh"
#include "proxy/tcp_client.hh"
#include "proxy/turn.hh"

#include <memory>
#include <vector>

namespace dotproxy {

class CounterRegion;
class Courtesy;
class Relay;

class TcpFront final : public Front {
  public:
    /// `all`: the counters of all workers, for the common limit of clients.
    TcpFront(Turn& turn, Relay& relay, Courtesy& courtesy, const CounterRegion& all,
             const Handover& handover);
    ~TcpFront();
    TcpFront(const TcpFront&) = delete;
    TcpFront& operator=(const TcpFront&) = delete;

    /// Starts to accept; false when the kernel refuses. `listener` outlives it.
    [[nodiscard]] bool open(const Listener& listener);
    /// Starts to take the connections that draining workers hand over; false as above.
    [[nodiscard]] bool open_handover();

    /// Accepts and reads no more. Clients with nothing in flight leave: to the next generation
    /// where `to_successor`, else they are closed; the others follow when they have their answers.
    void drain(bool to_successor) noexcept;

    [[nodiscard]] bool idle() const noexcept { return clients_.size() == 0; }

    [[nodiscard]] dns::Channel channel(const dns::Asker& asker) const noexcept override;
    [[nodiscard]] dns::MutableOctets begin_answer(const Client& client,
                                                  std::size_t size) noexcept override;
    void end_answer(const Client& client, std::size_t size) noexcept override;

    void on_ready(TcpClient& client, std::uint32_t events) noexcept;

    /// Takes queries that were read before and had to wait.
    void take_waiting() noexcept;
    void expire() noexcept;
    void soonest(TimePoint& earliest) const noexcept;
    void flush() noexcept;
    void bury() noexcept;

  private:
    /// A listening socket, or the end of the handover that connections come out of.
    struct Source final : Watch {
        Source(TcpFront& its_front, int its_socket, bool takes_over) noexcept
            : front{its_front}, socket{its_socket}, handover{takes_over} {}

        void on_ready(std::uint32_t events) noexcept override;
        TcpFront& front;
        int socket;
        bool handover;
    };

    /// All accepting is paused while this is armed.
    struct Pause : Deadline {};

    [[nodiscard]] bool open(int socket, bool handover);
    void come_in(const Source& source) noexcept;
    void accept_from(int listening) noexcept;
    void take_over_from() noexcept;
    [[nodiscard]] TcpClient* admit(Fd socket) noexcept;
    [[nodiscard]] bool full() const noexcept;
    [[nodiscard]] bool more_than_its_share() const noexcept;
    void pause(DeadlineQueue<Pause>& length) noexcept;
    void resume() noexcept;

    void read(TcpClient& client) noexcept;
    void take(TcpClient& client, dns::Octets octets) noexcept;
    [[nodiscard]] bool may_take(const TcpClient& client) const noexcept;
    [[nodiscard]] bool may_ask(const TcpClient& client) const noexcept;
    void set_timer(TcpClient& client) noexcept;
    void set_events(TcpClient& client) noexcept;
    void mark_dirty(TcpClient& client) noexcept;
    void write(TcpClient& client) noexcept;
    void leave(TcpClient& client) noexcept;
    void account(TcpClient& client) noexcept;
    void close(TcpClient& client) noexcept;
    void count_clients() noexcept;

    Turn& turn_;
    Relay& relay_;
    Courtesy& courtesy_;
    const CounterRegion& all_;
    const Handover& handover_;
    // Deadlines, before what stands in them.
    DeadlineQueue<TcpClient> first_query_; // from accept to the first whole query (L26)
    DeadlineQueue<TcpClient> idle_;        // nothing in flight; only a whole query counts (C10)
    DeadlineQueue<TcpClient> writing_;     // answers that the client does not read
    DeadlineQueue<TcpClient> leaving_;     // draining, and the handover was busy
    DeadlineQueue<Pause> pause_;           // out of resources
    DeadlineQueue<Pause> yield_;           // others have fewer clients
    Pause paused_;
    Slab<TcpClient> clients_;
    std::vector<std::unique_ptr<Source>> sources_;
    std::vector<TcpClient*> dirty_;
    std::vector<Handle> waiting_;
    std::vector<TcpClient*> closed_;
    dns::MutableOctets room_; // given out by begin_answer(), with the prefix
    std::size_t held_{0};     // octets in the buffers of all clients
    bool draining_{false};
    bool to_successor_{false};
};

} // namespace dotproxy
