// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Courtesy: a worker that has no connection to an upstream lets one that has go first. All workers
// wait on the same sockets, and one is woken while another is busy for some microseconds; if it
// took the query, it would make a connection that nobody needs. So it steps back for a moment, a
// few times in a row, and takes what is there only when it never came back to a socket that was not
// ready. A quiet network keeps one warm connection, whatever the number of workers.

#pragma once

#include "base/deadline.hh"
#include "base/loop.hh"
#include "shared/counter_region.hh"
#include "upstream/turn.hh"

#include <vector>

namespace dotproxy {

class Courtesy {
  public:
    /// `all`: the counters of all workers.
    Courtesy(Turn& turn, const CounterLease& all) noexcept;

    /// Adds a listening socket to the loop; false when the kernel refuses. A front whose socket is
    /// ready calls step_back() first.
    [[nodiscard]] bool open(int socket, Watch& watch);
    void close(int socket) noexcept;

    /// true: not now; the sockets have left the loop and come back in a moment.
    [[nodiscard]] bool step_back() noexcept;

    void expire() noexcept;

    void soonest(TimePoint& earliest) const noexcept { pause_.soonest(earliest); }

  private:
    [[nodiscard]] bool another_is_warmer() const noexcept;
    [[nodiscard]] bool anybody_there() const noexcept;

    struct Door {
        int socket;
        Watch* watch;
        Watching watching; // while it is open
    };

    struct Pause : Deadline {};

    Turn& turn_;
    const CounterLease& all_;
    DeadlineQueue<Pause> pause_;
    Pause away_;
    std::vector<Door> doors_;
    unsigned in_a_row_{0}; // how often it came back to a socket that was ready
    bool willing_{false};  // the others do not keep up: takes what there is
};

} // namespace dotproxy
