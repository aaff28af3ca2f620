// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/confinement.hh"

#include "base/log.hh"
#include "proxy/worker.hh"
#include "sandbox/landlock.hh"
#include "sandbox/sandbox.hh"

#include <exception>
#include <unistd.h>

namespace dotproxy {

namespace {

sandbox::Needs needs_of(const Config& config) {
    sandbox::Needs needs{.ports = {}, .syslog = log::uses_syslog()};
    for (const UpstreamConfig& upstream : config.upstreams) {
        for (const Address& address : upstream.addresses) {
            needs.ports.push_back(address.port());
        }
    }
    return needs;
}

} // namespace

void confine_master() noexcept {
    sandbox::hide_memory();
    if (sandbox::landlock_version() == 0) {
        log::write(log::Level::info,
                   "no Landlock here: the workers' sandbox is their system call filter alone");
    }
}

void confine_worker(const Config& config, Counters& counters) noexcept {
    try {
        sandbox::enter(needs_of(config), counters.forbidden_call());
    } catch (const std::exception& problem) {
        log::write(log::Level::error,
                   "cannot enter its sandbox: %s; sandbox = \"off\" goes without", problem.what());
        ::_exit(exit_hopeless);
    }
}

} // namespace dotproxy
