// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpIntake: where TCP clients come from, the listening sockets and the handover of draining
// workers, and when none may come: while descriptors or memory have run out (L47), and for a moment
// when other workers have fewer clients (L67). Of what comes, who may ask is given to the TcpFront;
// here is where all streams are asked whether they may.

#pragma once

#include "base/deadline.hh"
#include "base/listener.hh"
#include "dns/wire.hh"
#include "front/door.hh"
#include "front/handover.hh"
#include "front/tcp_client.hh"
#include "relay/standing.hh"
#include "upstream/turn.hh"

#include <memory>
#include <optional>
#include <vector>

namespace dotproxy {

class Courtesy;
class Gate;
class TcpFront;

class TcpIntake {
  public:
    /// All of them outlive it.
    TcpIntake(Turn& turn, TcpFront& front, Gate& gate, Courtesy& courtesy,
              const Handover& handover);
    ~TcpIntake();
    TcpIntake(const TcpIntake&) = delete;
    TcpIntake& operator=(const TcpIntake&) = delete;

    /// Starts to accept; false when the kernel refuses. `listener` outlives it.
    [[nodiscard]] bool open(const Listener& listener);
    /// Starts to take the connections that draining workers hand over; false as above.
    [[nodiscard]] bool open_handover();

    /// Comes once more to what this worker may have been woken for, then leaves all sockets.
    void close() noexcept;

    void expire() noexcept;
    void soonest(TimePoint& earliest) const noexcept;

  private:
    /// A listening socket, or the end of the handover that connections come out of.
    struct Source final : Watch {
        Source(TcpIntake& its_intake, int its_socket, const Door* its_door) noexcept
            : intake{its_intake}, socket{its_socket}, door{its_door} {}

        void on_ready(std::uint32_t events) noexcept override;
        TcpIntake& intake;
        int socket;
        const Door* door; // nullptr: it is the handover
    };

    /// All sources are left alone while this is armed.
    struct Pause : Deadline {};

    [[nodiscard]] bool open(int socket, const Door* door);
    void come_in(const Source& source) noexcept;
    void accept_from(const Source& source) noexcept;
    void take_over_all() noexcept;
    void adopt(Fd socket, dns::Octets unread, const Handed& what) noexcept;
    [[nodiscard]] const Door& door_at(const Address& local) const noexcept;
    [[nodiscard]] std::optional<Standing> standing_of(const std::optional<Address>& peer,
                                                      const Door& door) noexcept;
    [[nodiscard]] std::optional<Standing> let_in(const Fd& socket,
                                                 const std::optional<Address>& peer,
                                                 const std::optional<Standing>& standing) noexcept;
    void pause(DeadlineQueue<Pause>& length) noexcept;
    void resume() noexcept;

    Turn& turn_;
    TcpFront& front_;
    Gate& gate_;
    Courtesy& courtesy_;
    const Handover& handover_;
    std::vector<Door> doors_; // of all that is configured, in its order
    Door nowhere_;            // of where nothing is, any more
    // Deadlines, before what stands in them.
    DeadlineQueue<Pause> out_of_resources_;
    DeadlineQueue<Pause> yield_; // others have fewer clients
    Pause paused_;
    std::vector<std::unique_ptr<Source>> sources_;
    bool closed_{false};
};

} // namespace dotproxy
