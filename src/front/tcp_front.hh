// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpFront: all TCP clients of a worker, over TLS or not, with DNS in frames or over HTTP, on all
// its listening sockets. Queries are taken as they come and answered as their answers come (C5,
// C6). What one client can make us hold is bounded: so many queries in flight, so many octets of
// answers; beyond that it is not read (L29). So is how many connections one address can have (C15).
//
// A client over TLS first stands in the line of arrivals until it has a seat to shake hands in;
// from there on it is a client like the others, with records between its frames and the socket.

#pragma once

#include "base/deadline.hh"
#include "base/listener.hh"
#include "base/slab.hh"
#include "front/door.hh"
#include "front/handover.hh"
#include "front/handshakes.hh"
#include "front/tcp_client.hh"
#include "front/tcp_deadlines.hh"
#include "front/tcp_intake.hh"
#include "front/tcp_places.hh"
#include "http/server_context.hh"
#include "relay/client.hh"
#include "relay/relay.hh"
#include "shared/counted.hh"
#include "tls/server_context.hh"
#include "upstream/turn.hh"

#include <deque>
#include <optional>
#include <vector>

namespace dotproxy {

class CounterLease;
class Courtesy;
class Gate;

class TcpFront final : public Front {
  public:
    /// `all`: the counters of all workers, for the common limit of clients. `tls`: nullptr where no
    /// listener speaks it.
    TcpFront(Turn& turn, Gate& gate, Relay& relay, Courtesy& courtesy, const CounterLease& all,
             const Handover& handover, const tls::ServerContext* tls);
    ~TcpFront();
    TcpFront(const TcpFront&) = delete;
    TcpFront& operator=(const TcpFront&) = delete;

    /// Starts to accept; false when the kernel refuses. `listener` outlives it.
    [[nodiscard]] bool open(const Listener& listener) { return intake_.open(listener); }

    /// Starts to take the connections that draining workers hand over; false as above.
    [[nodiscard]] bool open_handover() { return intake_.open_handover(); }

    /// Accepts no more. Clients with nothing in flight leave: to the next generation where
    /// `to_successor`, else they are closed; the others follow when they have their answers. Those
    /// over TLS cannot be handed over: where there is a successor they are served for a while
    /// longer and end one by one, since all of them return (E62).
    void drain(bool to_successor) noexcept;

    [[nodiscard]] bool idle() const noexcept { return clients_.size() == 0; }

    [[nodiscard]] dns::Channel channel(const Client& client,
                                       const dns::Asker& asker) const noexcept override;
    [[nodiscard]] std::optional<Address> asked_address(const Client& client) noexcept override;
    [[nodiscard]] dns::MutableOctets begin_answer(const Client& client,
                                                  std::size_t size) noexcept override;
    void end_answer(const Client& client, std::size_t size) noexcept override;

    /// A new connection, of who may ask; closed at once where there is no room for it.
    /// `unread`: what was read of a proxy's header already.
    void welcome(Fd socket, const Address& peer, Standing standing, const Door& door,
                 dns::Octets unread = {}) noexcept;
    /// One that another worker had, and what that one had read of a query; as above.
    void adopt(Fd socket, const Address& peer, Standing standing, const Door& door,
               dns::Octets unread) noexcept;
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
    [[nodiscard]] TcpClient* admit(Fd socket, const Address& peer, Standing standing,
                                   const Door& door) noexcept;
    void make_way(Transport transport) noexcept;
    [[nodiscard]] bool full(Transport transport) const noexcept;
    void refuse(const Fd& socket, Counter why) noexcept;

    [[nodiscard]] bool someone_waits() const noexcept;
    [[nodiscard]] std::deque<Handle>& next_line() noexcept;
    void hear_refusal(TcpClient& client) noexcept;
    void wait(TcpClient& client) noexcept;
    void visit(TcpClient& client) noexcept;
    [[nodiscard]] bool read(TcpClient& client) noexcept;
    void take(TcpClient& client, dns::Octets octets) noexcept;
    [[nodiscard]] std::size_t take_frames(TcpClient& client, dns::Octets octets) noexcept;
    void taken(TcpClient& client, bool asked) noexcept;
    [[nodiscard]] Client asker_of(const TcpClient& client) noexcept;
    [[nodiscard]] Relay::Heard ask(TcpClient& client, const Client& asker,
                                   dns::Octets message) noexcept;
    [[nodiscard]] bool may_take(const TcpClient& client) const noexcept;
    [[nodiscard]] bool may_ask(const TcpClient& client) const noexcept;
    void set_events(TcpClient& client) noexcept;
    void mark_dirty(TcpClient& client) noexcept;
    void write(TcpClient& client) noexcept;
    [[nodiscard]] bool gather(TcpClient& client) noexcept;
    [[nodiscard]] bool send(TcpClient& client) noexcept;
    [[nodiscard]] static Handed handed(const TcpClient& client) noexcept;
    void leave(TcpClient& client) noexcept;
    void account(TcpClient& client) noexcept;
    [[nodiscard]] bool make_room(TcpClient& client) noexcept;
    void cut(TcpClient& client) noexcept;
    void close(TcpClient& client, TlsFailure if_shaking = TlsFailure::closed) noexcept;
    void close_blocked() noexcept;
    void count_clients() noexcept;

    // Over TLS.
    void get_into_line(const TcpClient& client) noexcept;
    [[nodiscard]] bool has_gone(Handle handle) noexcept;
    [[nodiscard]] bool may_seat() const noexcept;
    void seat_arrivals() noexcept;
    void begin_handshake(TcpClient& client, Handshakes::Seat seat) noexcept;
    [[nodiscard]] bool shake(TcpClient& client) noexcept;
    void settle_wire(TcpClient& client) noexcept;
    void unseal(TcpClient& client, dns::Octets records) noexcept;
    [[nodiscard]] bool seal(TcpClient& client, Buffer& plain) noexcept;
    void part(TcpClient& client, TlsFailure if_shaking = TlsFailure::closed) noexcept;
    void end_slow_handshakes() noexcept;
    void begin_farewells() noexcept;
    void say_farewells() noexcept;
    void say_farewell(TcpClient& client) noexcept;
    [[nodiscard]] TimePoint next_farewell() const noexcept;

    // From proxies that announce their clients.
    void hear_proxy(TcpClient& client) noexcept;
    [[nodiscard]] bool announce(TcpClient& client, const Address& peer) noexcept;
    void turn_away(TcpClient& client) noexcept;

    // Over HTTP.
    void speak(TcpClient& client, http::Version version) noexcept;
    void take_http(TcpClient& client, dns::Octets octets) noexcept;
    void feed(TcpClient& client, dns::Octets octets) noexcept;
    void take_request(TcpClient& client, const http::Request& request) noexcept;
    [[nodiscard]] bool find_asker(TcpClient& client, const http::Request& request,
                                  Client& asker) noexcept;
    void turn_down(TcpClient& client, std::uint32_t request, http::Status status) noexcept;
    [[nodiscard]] dns::MutableOctets http_room(std::size_t size) noexcept;
    [[nodiscard]] bool respond(TcpClient& client, const Client& asker, dns::Octets answer) noexcept;
    [[nodiscard]] bool gather_http(TcpClient& client) noexcept;

    /// Whether what the client asks from now on is for the next generation to take.
    [[nodiscard]] bool is_handed_over(const TcpClient& client) const noexcept {
        return draining_ && to_successor_ && client.door.can_hand_over();
    }

    /// Whether the client is still served though this worker drains. Over HTTP it is until it has
    /// heard of that, or a while longer.
    [[nodiscard]] bool stays(const TcpClient& client) const noexcept {
        const bool open = client.http != nullptr ? client.http->state() == http::Server::State::open
                                                 : !client.parting;
        return to_successor_ && !client.door.can_hand_over() && open;
    }

    Turn& turn_;
    Gate& gate_;
    Relay& relay_;
    const Handover& handover_;
    const tls::ServerContext* tls_;
    // Before the clients, who have their places in them.
    TcpPlaces places_;
    TcpPlaces tls_places_; // the same once more for those over TLS
    Handshakes handshakes_;
    // Deadlines, before what stands in them.
    TcpDeadlines deadlines_;
    DeadlineQueue<TlsChannel> slow_;   // of those who shake hands: others may have their seats then
    DeadlineQueue<TcpClient> leaving_; // draining, and the handover was busy
    TcpIntake intake_;
    http::ServerContext http_; // before the clients, whose sessions are made of it
    Slab<TcpClient> clients_;
    std::vector<TcpClient*> dirty_;
    std::deque<Handle> waiting_;  // to be visited, in the order in which they came to this
    std::deque<Handle> crowd_;    // the same of those whose source has many connections
    std::deque<Handle> arriving_; // the same of those who have no seat to shake hands in
    std::size_t passed_over_{0};  // of these, since somebody was given a seat, or gave one back
    std::uint32_t seats_left_{0}; // Handshakes::left() at that time

    /// Of a worker that drains, to its clients that cannot be handed over.
    struct Farewells {
        struct Notice {
            Handle client;
            TimePoint until; // then what it has asked is the last
        };

        std::deque<Handle> clients; // who have not had theirs
        std::deque<Notice> notices; // over HTTP: to whom it was said
        std::size_t all{0};
        std::size_t said{0};
        TimePoint since{};
    } farewells_;

    std::vector<TcpClient*> closed_;
    std::vector<std::uint8_t> http_room_; // where an answer is written that goes out over HTTP
    dns::MutableOctets room_;             // given out by begin_answer(), with the prefix of a frame
    std::size_t held_{0};                 // octets in the buffers of all clients
    std::uint32_t over_tls_{0};           // clients, but for the closed ones
    bool crowd_next_{false};              // of the two lines, where others wait as well
    bool behind_{false};                  // not all who waited were visited in the last turn
    std::uint32_t blocked_version_{0};
    bool draining_{false};
    bool to_successor_{false};
    bool handover_full_{false}; // found so in this turn: the others need not try
};

} // namespace dotproxy
