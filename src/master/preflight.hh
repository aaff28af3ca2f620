// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What `dotproxy -t` looks at beyond the text of a configuration: whether the account that will
// serve can read what it names, and whether the service will see it and may bind its ports. Asked
// by root at a terminal, all is there and all is allowed; the service then finds otherwise.

#pragma once

#include "config/config.hh"
#include "master/privileges.hh"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace dotproxy {

/// What a process is allowed, and where it runs, as far as it decides on warnings.
struct Surroundings {
    bool root{false};                                   // root asks
    bool systemd{false};                                // which starts services here
    bool binds_low_ports{false};                        // has CAP_NET_BIND_SERVICE
    std::uint16_t first_free_port{1024};                // ip_unprivileged_port_start
    std::filesystem::path units{"/etc/systemd/system"}; // the administrator's own
};

/// Those of this process.
[[nodiscard]] Surroundings look_around();

/// Reads the configuration, the trust stores and the secret of cookies once more as `account`, in a
/// child that becomes it as the service does (L68). Throws ConfigError with what is wrong for that
/// account; `user` is its name there. Where this process may not change to it, nothing is judged.
void read_as(const Account& account, const std::string& user, const std::string& config_path);

/// What is good here and will not be for the service, one line each: files in places that
/// its unit hides from it, ports below 1024 that nobody lets it bind, and open_doors().
[[nodiscard]] std::vector<std::string> warnings(const Config& config,
                                                const Surroundings& surroundings);

/// A line for each address, beyond loopback, at which everybody may ask (limits 43).
[[nodiscard]] std::vector<std::string> open_doors(const Config& config);

/// Refuses that everybody may ask, without limits, at an address that the Internet may know, or at
/// the wildcard where this machine has one (limits 43). Throws ConfigError.
void check_doors(const Config& config);

} // namespace dotproxy
