// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Notify: the service manager's side of systemd's protocols: readiness, watchdog, passed sockets.
// By hand: each is one datagram or a few environment variables (sd_notify(3), sd_listen_fds(3)).

#pragma once

#include "base/clock.hh"
#include "base/fd.hh"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy {

class Notify {
  public:
    /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; without them every call does nothing.
    Notify();

    void ready(std::string_view status) const noexcept;
    void reloading() const noexcept;
    void stopping() const noexcept;
    void alive() const noexcept;

    /// How often alive() is due; nullopt where nobody watches.
    [[nodiscard]] std::optional<Clock::duration> watchdog() const noexcept { return watchdog_; }

  private:
    void send(const std::string& state) const noexcept;

    std::string path_;
    std::optional<Clock::duration> watchdog_;
};

/// The sockets passed by LISTEN_FDS, if they are meant for this process. To be called once.
[[nodiscard]] std::vector<Fd> passed_sockets();

} // namespace dotproxy
