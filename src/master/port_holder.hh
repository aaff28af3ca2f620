// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Who has a port that could not be bound, as far as /proc shows it to this process.

#pragma once

#include "base/listener.hh"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace dotproxy {

/// A socket as a table of /proc/net has it (proc_net_tcp(5)).
struct BoundSocket {
    Address address;
    uid_t owner;
    std::uint64_t inode;
};

/// The first socket in the text of /proc/net/{udp,udp6,tcp,tcp6} that keeps `address` from being
/// bound; nullopt when none does. `protocol` and the family of `table` are the caller's to match.
[[nodiscard]] std::optional<BoundSocket> find_bound(std::string_view table, Protocol protocol,
                                                    const Address& address);

/// A clause for a message, such as "process 12 (unbound) has 0.0.0.0:53". Takes a while, as it
/// looks at every process that it may look at.
[[nodiscard]] std::string describe_port_holder(Protocol protocol, const Address& address);

} // namespace dotproxy
