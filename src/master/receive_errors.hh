// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// How often the kernel had no room for a datagram: what it dropped at our sockets for want of room
// and not for a block, which it does not tell for each of them (proc_net(5), SNMP counters).

#pragma once

#include <cstdint>
#include <string_view>

namespace dotproxy {

/// For all sockets of this network namespace, since it is there; 0 where it cannot be read.
[[nodiscard]] std::uint64_t receive_buffer_errors();

/// The same of the texts of /proc/net/snmp and /proc/net/snmp6.
[[nodiscard]] std::uint64_t receive_buffer_errors(std::string_view snmp, std::string_view snmp6);

} // namespace dotproxy
