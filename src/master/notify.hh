// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Notify: the service manager's side of systemd's protocols: readiness, watchdog, descriptors
// passed and kept. By hand: each is one datagram or a few environment variables (sd_notify(3),
// sd_pid_notify_with_fds(3), sd_listen_fds(3)).

#pragma once

#include "base/clock.hh"
#include "base/fd.hh"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy {

/// Each notification waits for a second at most where the service manager is busy.
class Notify {
  public:
    /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; without them every call does nothing.
    Notify();

    void ready(std::string_view status) const noexcept;
    void reloading() const noexcept;
    /// It takes `most` at most until the process has ended.
    void stopping(Clock::duration most) const noexcept;
    void alive() const noexcept;

    /// Gives copies of descriptors to the service manager to keep, under one name, in place of
    /// those it has by that name. The process that takes our place is passed them
    /// (passed_descriptors), as many as the service manager has room for.
    void keep(std::string_view name, std::span<const int> descriptors) const noexcept;

    /// Returns when the service manager has done what it was told so far, or after `patience`.
    void settle(Milliseconds patience) const noexcept;

    /// How often alive() is due; nullopt where nobody watches.
    [[nodiscard]] std::optional<Clock::duration> watchdog() const noexcept { return watchdog_; }

  private:
    static constexpr std::size_t max_sent = 253; // SCM_MAX_FD

    void send(const std::string& state, std::span<const int> descriptors = {}) const noexcept;

    std::string path_;
    std::optional<Clock::duration> watchdog_;
};

/// What was passed by LISTEN_FDS.
struct PassedDescriptor {
    std::string name; // of LISTEN_FDNAMES; may be empty
    Fd fd;
};

/// The descriptors passed to this process, if there are any. To be called once, and before this
/// process opens anything: one of its own could have a number that was to be passed. Throws
/// std::runtime_error when one of them is not open.
[[nodiscard]] std::vector<PassedDescriptor> passed_descriptors();

} // namespace dotproxy
