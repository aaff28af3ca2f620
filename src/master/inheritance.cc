// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/inheritance.hh"

#include "base/log.hh"
#include "master/packet_filter.hh"

#include <exception>
#include <sys/stat.h>
#include <utility>

namespace dotproxy {

namespace {

/// Memory is a file without a name; what is in it is looked at by whoever uses it.
bool is_memory(const Fd& fd) noexcept {
    struct stat status {};

    return ::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode);
}

} // namespace

Inheritance take_inheritance(std::vector<PassedDescriptor> passed) {
    Inheritance inheritance;
    for (PassedDescriptor& one : passed) {
        const std::string& name = one.name;
        if (name == kept_cache && is_memory(one.fd)) {
            inheritance.cache = std::move(one.fd);
            continue;
        }
        try {
            const auto listener =
                std::make_shared<const Listener>(adopt_listener(std::move(one.fd)));
            // Of a master that was killed while it had somebody blocked.
            detach_packet_filter(listener->socket.get());
            (name == kept_listeners ? inheritance.kept : inheritance.bound).push_back(listener);
            log::write(log::Level::info, "took over %s", listener->text().c_str());
        } catch (const std::exception& problem) {
            log::write(log::Level::warning,
                       "what was passed as \"%s\" is no use, and is closed: %s", name.c_str(),
                       problem.what());
            inheritance.kept_useless |= name == kept_listeners;
        }
    }
    return inheritance;
}

} // namespace dotproxy
