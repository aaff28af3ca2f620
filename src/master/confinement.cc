// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/confinement.hh"

#include "base/log.hh"
#include "sandbox/landlock.hh"
#include "sandbox/sandbox.hh"
#include "worker/worker.hh"

#include <cstdlib>
#include <exception>
#include <system_error>
#include <unistd.h>

namespace dotproxy {

namespace {

sandbox::Needs needs_of(const Config& config) {
    sandbox::Needs needs;
    needs.syslog = log::uses_syslog();
    for (const UpstreamConfig& upstream : config.upstreams) {
        needs.datagrams = needs.datagrams || upstream.plain;
        needs.source = needs.source || upstream.source;
        needs.interface = needs.interface || !upstream.interface.empty();
        for (const Address& address : upstream.addresses) {
            needs.ports.push_back(address.port());
        }
    }
    return needs;
}

/// Whether the next attempt may fare better: something has run out. The rest is what a kernel does
/// not have, or does not let us.
bool may_pass(const std::error_code& error) noexcept {
    return error == std::errc::not_enough_memory || error == std::errc::too_many_files_open ||
           error == std::errc::too_many_files_open_in_system ||
           error == std::errc::resource_unavailable_try_again;
}

} // namespace

void confine_master() noexcept {
    sandbox::hide_memory();
    if (sandbox::landlock_version() == 0) {
        log::write(log::Level::notice,
                   "no Landlock here: the workers' sandbox is their system call filter alone");
    }
}

void confine(const Config& config, Counters& counters, bool keys) {
    if (!config.sandbox) {
        if (!keys) { // else the master has hidden them
            sandbox::show_memory();
        }
        return;
    }
    // GnuTLS would open the file that it names for the keys of the first session, and die of that.
    ::unsetenv("SSLKEYLOGFILE"); // NOLINT(concurrency-mt-unsafe): one thread
    sandbox::enter(needs_of(config), counters.forbidden_call());
}

void confine_worker(const Config& config, Counters& counters, bool keys) noexcept {
    int status = exit_failed;
    try {
        confine(config, counters, keys);
        return;
    } catch (const std::system_error& problem) {
        const bool passes = may_pass(problem.code());
        status = passes ? exit_failed : exit_hopeless;
        log::write(log::Level::error, "cannot enter its sandbox: %s%s", problem.what(),
                   passes ? "" : "; sandbox = \"off\" goes without");
    } catch (const std::exception& problem) {
        log::write(log::Level::error, "cannot enter its sandbox: %s", problem.what());
    }
    ::_exit(status);
}

} // namespace dotproxy
