// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/counters.hh"

#include <cerrno>
#include <memory>
#include <sys/mman.h>
#include <system_error>

namespace dotproxy {

namespace {

constexpr std::array<const char*, counter_count> names{
    "udp_queries", // one a line, so that changes stay small
    "tcp_queries",
    "udp_answers",
    "tcp_answers",
    "truncated",
    "local_answers",
    "format_errors",
    "cache_hits",
    "cache_misses",
    "cache_stale",
    "cache_failures",
    "cache_refreshes",
    "cache_not_stored",
    "joined",
    "failures",
    "overload",
    "dropped",
    "send_failed",
    "clients_gone",
    "tcp_accepted",
    "tcp_refused",
    "tcp_idle_closed",
    "tcp_timed_out",
    "tcp_handed_over",
    "accept_paused",
    "tcp_refused_address",
    "upstream_connects",
    "upstream_handshakes",
    "upstream_resumed",
    "upstream_failed",
    "upstream_queries",
    "upstream_records",
    "upstream_answers",
    "upstream_resent",
    "upstream_late",
    "upstream_refused",
    "upstream_broken",
    "tcp_clients",
    "queries_waiting",
    "upstream_connections",
};

} // namespace

const char* name_of(Counter counter) noexcept {
    return names[static_cast<std::size_t>(counter)];
}

void Counters::clear_gauges() noexcept {
    for (std::size_t i = first_gauge; i < counter_count; ++i) {
        values_[i].store(0, std::memory_order_relaxed);
    }
}

std::string Counters::text() const {
    std::string line;
    for (std::size_t i = 0; i < counter_count; ++i) {
        const std::uint64_t value = values_[i].load(std::memory_order_relaxed);
        if (value != 0) {
            line.append(line.empty() ? "" : " ").append(names[i]).append("=");
            line.append(std::to_string(value));
        }
    }
    return line.empty() ? "nothing yet" : line;
}

CounterRegion::CounterRegion(unsigned slots) : slots_{nullptr}, size_{slots} {
    void* memory = ::mmap(nullptr, sizeof(Counters) * slots, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::system_error{errno, std::generic_category(), "memory for the counters"};
    }
    slots_ = static_cast<Counters*>(memory);
    std::uninitialized_default_construct_n(slots_, slots);
}

CounterRegion::~CounterRegion() {
    ::munmap(slots_, sizeof(Counters) * size_);
}

std::uint64_t CounterRegion::sum(Counter counter) const noexcept {
    std::uint64_t total = 0;
    for (unsigned i = 0; i < size_; ++i) {
        total += slots_[i].get(counter);
    }
    return total;
}

} // namespace dotproxy
