// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/listeners.hh"

#include "base/log.hh"
#include "master/port_holder.hh"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration between_looks = 10ms;

/// Other sockets can be bound beside some of `listeners` while it lives.
class PortSharing {
  public:
    /// Those that overlap with `address`.
    PortSharing(const Listeners& listeners, Protocol protocol, const Address& address) {
        std::copy_if(listeners.begin(), listeners.end(), std::back_inserter(sharers_),
                     [&](const auto& one) { return one->overlaps(protocol, address); });
        share(true);
    }

    PortSharing(const PortSharing&) = delete;
    PortSharing& operator=(const PortSharing&) = delete;

    ~PortSharing() { share(false); }

    [[nodiscard]] Beside beside() const noexcept {
        return sharers_.empty() ? Beside::nobody : Beside::sharers;
    }

  private:
    void share(bool shared) noexcept {
        for (const auto& one : sharers_) {
            one->share_port(shared);
        }
    }

    Listeners sharers_;
};

const std::shared_ptr<const Listener>* find(const Listeners& listeners, Protocol protocol,
                                            const Address& address) {
    const auto found = std::find_if(listeners.begin(), listeners.end(), [&](const auto& listener) {
        return listener->protocol == protocol && listener->address == address;
    });
    return found == listeners.end() ? nullptr : &*found;
}

[[noreturn]] void refuse(const std::system_error& problem, Protocol protocol,
                         const Address& address) {
    if (problem.code() == std::errc::permission_denied) {
        throw std::runtime_error{std::string{problem.what()} +
                                 "; a port below 1024 takes root or CAP_NET_BIND_SERVICE when "
                                 "dotproxy starts, and a reload has neither any more: restart it "
                                 "with one of them, or have a service manager pass the socket "
                                 "(dotproxy.socket)"};
    }
    if (problem.code() == std::errc::address_in_use) {
        throw std::runtime_error{std::string{problem.what()} + "; " +
                                 describe_port_holder(protocol, address)};
    }
    throw problem;
}

/// nullptr where the kernel does not have the address family at all: who boots without IPv6 does so
/// on purpose, and need not be told what the usual configuration names.
std::shared_ptr<const Listener> open_or_leave_out(Protocol protocol, const Address& address,
                                                  Beside beside) {
    try {
        return std::make_shared<const Listener>(open_listener(protocol, address, beside));
    } catch (const std::system_error& problem) {
        if (problem.code() == std::errc::address_family_not_supported) {
            log::write(log::Level::warning, "%s; this address is left out", problem.what());
            return nullptr;
        }
        refuse(problem, protocol, address);
    }
}

/// The socket of `existing` for an address, or a new one beside them.
std::shared_ptr<const Listener> keep_or_open(Protocol protocol, const Address& address,
                                             const Listeners& existing) {
    const PortSharing sharing{existing, protocol, address};
    if (const auto* kept = find(existing, protocol, address)) {
        // It may be that of a generation that drains, and has been suspended.
        if ((*kept)->resume()) {
            return *kept;
        }
    }
    return open_or_leave_out(protocol, address, sharing.beside());
}

/// Whether a passed socket serves an address. Throws where one serves a part of it alone, since the
/// service manager keeps that bound.
bool is_passed(const Listeners& passed, Protocol protocol, const Address& address) {
    for (const auto& one : passed) {
        if (one->covers(protocol, address)) {
            return true;
        }
    }
    for (const auto& one : passed) {
        if (one->overlaps(protocol, address)) {
            const Listener wanted{.protocol = protocol, .address = address, .socket = {}};
            throw std::runtime_error{wanted.text() + ": the service manager passes " + one->text() +
                                     ", and both cannot be had; take the address out of listen, "
                                     "or the other one out of the socket unit"};
        }
    }
    return false;
}

template <class Visit>
void for_each_wanted(const std::vector<ListenConfig>& wanted, Visit visit) {
    for (const ListenConfig& listen : wanted) {
        if (listen.udp) {
            visit(Protocol::udp, listen.address);
        }
        if (listen.takes(Protocol::tcp)) {
            visit(Protocol::tcp, listen.address);
        }
    }
}

bool is_free(Protocol protocol, const Address& address) {
    try {
        static_cast<void>(open_listener(protocol, address));
        return true;
    } catch (const std::system_error& problem) {
        return problem.code() != std::errc::address_in_use;
    }
}

} // namespace

bool contains(const Listeners& listeners,
              const std::shared_ptr<const Listener>& listener) noexcept {
    return std::find(listeners.begin(), listeners.end(), listener) != listeners.end();
}

Listeners open_listeners(const std::vector<ListenConfig>& wanted, const Listeners& passed,
                         const Listeners& existing) {
    Listeners listeners = passed;
    for_each_wanted(wanted, [&](Protocol protocol, const Address& address) {
        if (is_passed(passed, protocol, address)) {
            return;
        }
        if (auto listener = keep_or_open(protocol, address, existing)) {
            listeners.push_back(std::move(listener));
        }
    });
    if (listeners.empty() && !wanted.empty()) {
        throw std::runtime_error{"no address that is to be listened on can be had"};
    }
    return listeners;
}

Listeners take_unwanted(Listeners& listeners, const std::vector<ListenConfig>& wanted) {
    Listeners named;
    for_each_wanted(wanted, [&](Protocol protocol, const Address& address) {
        if (const auto* one = find(listeners, protocol, address)) {
            named.push_back(*one);
        }
    });
    std::swap(listeners, named);
    std::erase_if(named, [&listeners](const auto& one) { return contains(listeners, one); });
    return named;
}

void close_and_wait(Listeners listeners, Clock::duration patience) {
    const TimePoint until = Clock::now() + patience;
    for (auto& one : listeners) {
        const Protocol protocol = one->protocol;
        const Address address = one->address;
        one.reset();
        while (!is_free(protocol, address) && Clock::now() < until) {
            std::this_thread::sleep_for(between_looks);
        }
    }
}

void give_to(const Account& account, const Listeners& listeners) noexcept {
    for (const auto& one : listeners) {
        static_cast<void>(::fchown(one->socket.get(), account.user, account.group) == 0);
    }
}

} // namespace dotproxy
