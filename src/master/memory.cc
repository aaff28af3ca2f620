// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/memory.hh"

#include "base/log.hh"
#include "config/units.hh"
#include "shared/cache_memory.hh"

#include <algorithm>
#include <limits>
#include <sys/sysinfo.h>
#include <utility>

namespace dotproxy {

namespace {

constexpr std::uint64_t mebi = std::uint64_t{1} << 20U;

} // namespace

cgroup::MemoryLimit available_memory() {
    cgroup::MemoryLimit least{.octets = std::numeric_limits<std::uint64_t>::max(), .file = {}};

    // Not /proc/meminfo, which the unit hides.
    struct sysinfo machine {};

    if (::sysinfo(&machine) == 0) {
        least = {.octets = std::uint64_t{machine.totalram} * machine.mem_unit / mebi * mebi,
                 .file = "the RAM"};
    }
    auto limit = cgroup::memory_limit();
    return limit && limit->octets < least.octets ? std::move(*limit) : least;
}

Config within_memory(Config config, const cgroup::MemoryLimit& available) {
    const std::uint64_t most =
        std::max<std::uint64_t>(available.octets / 2 / mebi * mebi, CacheMemory::smallest);
    if (config.cache.size <= most) {
        return config;
    }
    log::write(log::Level::notice,
               "cache.size: %s is more than half of the memory there is (%s: %s); the cache is "
               "given %s",
               units::size_text(config.cache.size).c_str(), available.file.c_str(),
               units::size_text(available.octets).c_str(), units::size_text(most).c_str());
    config.cache.size = most;
    return config;
}

RunOut OomWatch::killed(std::optional<std::uint64_t> kills, TimePoint now) noexcept {
    if (kills && kills_) {
        return *kills > std::exchange(*kills_, *kills) ? RunOut::certain : RunOut::no;
    }
    kills_ = kills;
    if (unexplained_ && now - *unexplained_ <= suspicious_time) {
        unexplained_.reset();
        return RunOut::likely;
    }
    unexplained_ = now;
    return RunOut::no;
}

} // namespace dotproxy
