// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/generation.hh"

#include "base/log.hh"
#include "base/siphash.hh"
#include "master/privileges.hh"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <system_error>

namespace dotproxy {

namespace {

// What a worker needs besides its clients' sockets: upstream connections, some of them in the
// middle of a race, its loop, the log and what the library opens for a moment.
constexpr std::uint64_t spare_descriptors = 64;
constexpr std::uint64_t descriptors_per_address = 6;
constexpr std::uint32_t fewest_clients = 4;

/// Fits the number of TCP clients to the descriptors that can be had (L47).
Config within_limits(Config config) {
    std::uint64_t addresses = 0;
    for (const UpstreamConfig& upstream : config.upstreams) {
        addresses += upstream.addresses.size();
    }
    std::uint64_t queries = 0; // in the clear, of which each has a socket
    for (unsigned group = 0; group < config.groups.size(); ++group) {
        queries += config.is_plain(group) ? most_plain_queries : 0;
    }
    const std::uint64_t fixed = spare_descriptors + config.listen.size() * 2 +
                                addresses * descriptors_per_address + queries;
    const std::uint64_t available = raise_descriptor_limit(fixed + config.limits.tcp_clients);
    if (available >= fixed + config.limits.tcp_clients) {
        return config;
    }
    const std::uint64_t clients =
        std::max<std::uint64_t>(available > fixed ? available - fixed : 0, fewest_clients);
    log::write(log::Level::warning,
               "limits.tcp_clients: %u do not fit the limit of %llu descriptors, %llu are served",
               config.limits.tcp_clients, static_cast<unsigned long long>(available),
               static_cast<unsigned long long>(clients));
    config.limits.tcp_clients =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(clients, config.limits.tcp_clients));
    return config;
}

/// Whose answers are in the cache, and in what form: another resolver may answer otherwise (C80).
/// By what address it is reached does not matter, unless it is in a group: those may have one name.
std::uint64_t cache_kind(const Config& config) {
    std::vector<std::uint8_t> identities;
    for (const UpstreamConfig& upstream : config.upstreams) {
        identities.insert(identities.end(), upstream.name.begin(), upstream.name.end());
        // Some filter by it (E90).
        identities.insert(identities.end(), upstream.path.begin(), upstream.path.end());
        for (const SpkiPin& pin : upstream.pins) {
            identities.insert(identities.end(), pin.begin(), pin.end());
        }
        identities.push_back(static_cast<std::uint8_t>(upstream.group));
        for (const Address& address : upstream.addresses) {
            const std::string text = upstream.group != 0 ? address.text() : std::string{};
            identities.insert(identities.end(), text.begin(), text.end());
        }
        identities.push_back(0);
    }
    return SipHash{{.k0 = cache_format, .k1 = 0}}(identities);
}

CachePtr open_cache(const Config& config, CachePtr known) {
    if (config.cache.size == 0) {
        return nullptr;
    }
    const std::uint64_t kind = cache_kind(config);
    if (known != nullptr && known->size() == config.cache.size && known->kind() == kind) {
        return known;
    }
    if (known != nullptr) {
        log::write(log::Level::notice, "%s: what was cached is forgotten",
                   known->kind() == kind ? "cache.size has changed" : "the upstreams are others");
    }
    return std::make_shared<const CacheMemory>(config.cache.size, kind);
}

std::shared_ptr<const tls::ClientContext> load_anchors(const UpstreamConfig& upstream) {
    try {
        return std::make_shared<const tls::ClientContext>(upstream.ca_file);
    } catch (const std::exception& problem) {
        throw ConfigError{upstream.ca_place + ": " + problem.what() +
                          "; give a PEM file of the certificate authorities to trust"};
    }
}

std::vector<WorkerSlot> make_slots(unsigned count) {
    std::vector<WorkerSlot> slots;
    for (unsigned i = 0; i < count; ++i) {
        slots.emplace_back(i);
    }
    return slots;
}

} // namespace

CachePtr inherited_cache(Fd memory, const Config& config) {
    if (!memory || config.cache.size == 0) {
        return nullptr;
    }
    try {
        return std::make_shared<const CacheMemory>(std::move(memory), config.cache.size,
                                                   cache_kind(config));
    } catch (const std::exception& problem) {
        log::write(log::Level::notice, "the cache begins empty: %s", problem.what());
        return nullptr;
    }
}

tls::ClientContexts load_trust(const Config& config) {
    std::map<std::string, std::shared_ptr<const tls::ClientContext>, std::less<>> loaded;
    tls::ClientContexts contexts;
    for (const UpstreamConfig& upstream : config.upstreams) {
        if (upstream.plain) {
            contexts.push_back(nullptr); // nobody is verified
            continue;
        }
        auto& context = loaded[upstream.ca_file];
        if (context == nullptr) {
            context = load_anchors(upstream);
        }
        contexts.push_back(context);
    }
    return contexts;
}

Generation::Generation(unsigned its_number, Config its_config, const Listeners& passed,
                       const Listeners& existing, CachePtr known)
    : number{its_number}, config{within_limits(std::move(its_config))}, tls{load_trust(config)},
      cache{open_cache(config, std::move(known))},
      listeners{open_listeners(config.listen, passed, existing)}, workers{
                                                                      make_slots(config.workers)} {}

bool Generation::all_ready() const noexcept {
    return std::all_of(workers.begin(), workers.end(), [](const WorkerSlot& worker) {
        return worker.state() == WorkerSlot::State::ready;
    });
}

bool Generation::any_alive() const noexcept {
    return std::any_of(workers.begin(), workers.end(),
                       [](const WorkerSlot& worker) { return worker.alive(); });
}

bool Generation::all_hopeless() const noexcept {
    return std::all_of(workers.begin(), workers.end(), [](const WorkerSlot& worker) {
        return worker.state() == WorkerSlot::State::hopeless;
    });
}

bool Generation::responds() const noexcept {
    return std::any_of(workers.begin(), workers.end(),
                       [](const WorkerSlot& worker) { return worker.responds(); });
}

void Generation::tell_all(Order order) const noexcept {
    for (const WorkerSlot& worker : workers) {
        if (worker.alive()) {
            worker.tell(order);
        }
    }
}

void Generation::kill_all(int signal) noexcept {
    for (WorkerSlot& worker : workers) {
        worker.kill(signal);
    }
}

WorkerSlot* Generation::find(pid_t pid) noexcept {
    const auto found =
        std::find_if(workers.begin(), workers.end(),
                     [pid](const WorkerSlot& worker) { return worker.pid() == pid; });
    return found == workers.end() ? nullptr : &*found;
}

} // namespace dotproxy
