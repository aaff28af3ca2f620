// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// PacketFilter: which sources the kernel drops at a socket, before anything is queued there (limits
// 21): the only way to be rid of more than a process can read. It is a program of classic BPF,
// which takes no privilege, and lives as long as the socket does, whoever has it.

#pragma once

#include "base/prefix.hh"

#include <cstdint>
#include <linux/filter.h>
#include <span>
#include <vector>

namespace dotproxy {

/// What becomes of a packet; of what is said of an address the highest counts.
enum class Fate : std::uint8_t {
    pass,
    drop_most, // all but one in 64, at random
    drop,
};

struct FilterRule {
    Prefix prefix;
    Fate fate;
};

/// A program for IPv4 and IPv6 sockets, of UDP and listening ones of TCP. It looks up a source by
/// binary search; 256 rules make 2,600 instructions at most, of which the kernel takes 4,096.
/// Throws std::bad_alloc.
[[nodiscard]] std::vector<sock_filter> make_packet_filter(std::span<const FilterRule> rules);

/// Has the kernel run it at a socket, in place of what it ran there. false, and errno says why: it
/// does not, and runs none; programs of one socket may take net.core.optmem_max octets.
[[nodiscard]] bool attach_packet_filter(int socket, std::span<const sock_filter> program) noexcept;

/// All packets come in again.
void detach_packet_filter(int socket) noexcept;

} // namespace dotproxy
