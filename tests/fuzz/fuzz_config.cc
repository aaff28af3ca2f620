// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Any text is either refused with a ConfigError or gives a configuration that keeps what config.hh
// promises: above all, no upstream without anything to verify it by (C62).

#include "config/config.hh"
#include "config/libconfig_leak.hh"
#include "dns/local.hh"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

extern "C" {
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
}

namespace {

void check(bool promise) {
    if (!promise) {
        std::abort();
    }
}

void check_promises(const dotproxy::Config& config) {
    check(config.workers >= 1 && config.workers <= 256);
    check(!config.user.empty() && !config.group.empty() && !config.ca_file.empty());
    check(!config.listen.empty() && !config.upstreams.empty());
    for (const auto& listen : config.listen) {
        check((listen.udp || listen.tcp) && listen.address.port() != 0);
    }
    for (const auto& upstream : config.upstreams) {
        check(!upstream.name.empty() || !upstream.pins.empty());
        check(!upstream.addresses.empty() && upstream.group < config.groups.size());
        check(!upstream.ca_file.empty() && !upstream.ca_place.empty());
        for (const auto& address : upstream.addresses) {
            check(address.port() != 0 && !address.is_wildcard());
        }
    }
    check(config.upstreams.size() >= config.groups.size());
    for (const auto& route : config.routes.all()) {
        check(route.group < config.groups.size());
        check(config.routes.find(route.domain.view()) == route.group);
    }
    for (const auto& name : config.local_zones_except) {
        check(dotproxy::dns::may_be_excepted(name.view()));
    }
    check(config.timeouts.query.count() > 0 && config.timeouts.connect.count() > 0);
    check(config.timeouts.connect <= config.timeouts.query);
    check(config.cache.size == 0 || config.cache.size >= 1U << 20U);
    check(config.cache.min_ttl <= config.cache.max_ttl && config.cache.failure_ttl.count() > 0);
    check(config.cache.stale_after <= config.timeouts.query);
    check(config.control_socket.empty() || config.control_socket.front() == '/');
    check(config.limits.queries > 0 && config.limits.queries_per_client > 0);
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text{data, data + size};
    try {
        // No directory of this name exists, so that an @include reads no file by chance.
        check_promises(dotproxy::parse_config(text, "/nonexistent/fuzz"));
    } catch (const dotproxy::ConfigError& error) {
        check(*error.what() != '\0');
    }
    return 0;
}
