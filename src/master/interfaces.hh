// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Interfaces: the addresses that this machine has now, and the prefixes that are on-link with them.

#pragma once

#include "base/fd.hh"
#include "base/prefix.hh"

#include <vector>

namespace dotproxy {

/// Of all interfaces that are up, but for loopback addresses.
struct InterfaceAddresses {
    std::vector<AddressBits> own;
    std::vector<Prefix> on_link; // each once; with the other end of each point-to-point link
};

/// Asks the kernel; of IPv4 and IPv6. Throws std::system_error where it does not say.
[[nodiscard]] InterfaceAddresses interface_addresses();

/// The first of these; none where the kernel does not say.
[[nodiscard]] std::vector<AddressBits> own_addresses();

/// Tells when there is something new to ask for (limits 41).
class InterfaceWatch {
  public:
    /// One that never tells where the kernel does not.
    InterfaceWatch() noexcept;

    /// Readable when addresses have come or gone; -1: it does not watch.
    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

    void close() noexcept { socket_.reset(); }

    /// Takes what has been told. true: there was something.
    [[nodiscard]] bool changed() noexcept;

  private:
    Fd socket_; // rtnetlink(7)
};

} // namespace dotproxy
