// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#pragma once

#include <cstdint>
#include <vector>

namespace dotproxy::sandbox {

/// What differs between workers.
struct Needs {
    std::vector<std::uint16_t> ports; // TCP ports that it connects to
    bool datagrams{false};            // it asks over UDP, from ports that it does not choose
    bool source{false};               // it chooses an address to ask from
    bool interface { false };         // and by which interface
    bool syslog{false};               // it logs by syslog(3)
};

} // namespace dotproxy::sandbox
