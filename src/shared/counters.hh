// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Counters: one slot of numbers a worker, in memory that the master sees too. Only the slot's
// worker writes it, so nothing is locked and nothing needs repair when the worker dies.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace dotproxy {

/// What is counted. The text of each stands in counters.cc, in this order.
enum class Counter : std::uint8_t {
    udp_queries,
    tcp_queries,
    udp_answers,
    tcp_answers,
    truncated,     // UDP answers sent with TC
    local_answers, // answered here, never forwarded
    format_errors, // FORMERR, NOTIMP and BADVERS
    cache_hits,
    cache_misses,
    cache_stale,      // expired answers given since there was nothing better (RFC 8767)
    cache_failures,   // failures given again (RFC 9520)
    cache_refreshes,  // questions asked again for the cache alone
    cache_not_stored, // too big, or another worker was storing in the same part
    joined,           // questions that joined one in flight (C95)
    failures,         // SERVFAIL of our own
    overload,         // of these: no room for the question
    dropped,          // messages that get no answer: responses, fragments of a header, port 0
    send_failed,      // answers that the kernel did not take
    clients_gone,     // answers whose client had left (C12)
    tcp_accepted,
    tcp_refused, // over limits.tcp_clients
    tcp_idle_closed,
    tcp_timed_out,       // slow readers and writers (L26)
    tcp_handed_over,     // to the next generation, at a reload
    accept_paused,       // out of descriptors or memory (L47)
    tcp_refused_address, // one address had too many (C15)
    upstream_connects,
    upstream_handshakes,
    upstream_resumed,
    upstream_failed, // connections that failed before they were of use
    upstream_queries,
    upstream_records, // TLS records that carried them
    upstream_answers,
    upstream_resent,
    upstream_late,    // answers that nobody waits for any more
    upstream_refused, // answers not passed on: malformed, truncated, unrelated (L82)
    upstream_broken,  // connections closed since their stream made no sense (L83)
    // Gauges: what there is now.
    tcp_clients,
    queries_waiting,
    upstream_connections,
    count_
};

constexpr std::size_t counter_count = static_cast<std::size_t>(Counter::count_);
constexpr std::size_t first_gauge = static_cast<std::size_t>(Counter::tcp_clients);

/// Its name, for people and programs: "udp_queries".
[[nodiscard]] const char* name_of(Counter counter) noexcept;

/// The numbers of one worker.
class Counters {
  public:
    void add(Counter counter, std::uint64_t n = 1) noexcept {
        // One writer: no read-modify-write cycle on the bus is needed.
        auto& value = values_[static_cast<std::size_t>(counter)];
        value.store(value.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }

    void set(Counter gauge, std::uint64_t n) noexcept {
        values_[static_cast<std::size_t>(gauge)].store(n, std::memory_order_relaxed);
    }

    [[nodiscard]] std::uint64_t get(Counter counter) const noexcept {
        return values_[static_cast<std::size_t>(counter)].load(std::memory_order_relaxed);
    }

    /// Where the worker leaves the system call that its sandbox killed it for; 0: none. See
    /// sandbox/call.hh.
    [[nodiscard]] std::atomic<std::uint64_t>& forbidden_call() noexcept { return forbidden_call_; }

    /// Zeroes the gauges; for the master, when the worker is dead (L48).
    void clear_gauges() noexcept;
    /// "udp_queries=12 tcp_queries=3 ...": what is not zero.
    [[nodiscard]] std::string text() const;

  private:
    alignas(64) std::array<std::atomic<std::uint64_t>, counter_count> values_{};
    std::atomic<std::uint64_t> forbidden_call_{0};
};

/// The slots of all workers of one generation, in shared anonymous memory.
class CounterRegion {
  public:
    /// Throws std::system_error when there is no memory.
    explicit CounterRegion(unsigned slots);
    CounterRegion(const CounterRegion&) = delete;
    CounterRegion& operator=(const CounterRegion&) = delete;
    ~CounterRegion();

    [[nodiscard]] Counters& slot(unsigned index) noexcept { return slots_[index]; }

    [[nodiscard]] const Counters& slot(unsigned index) const noexcept { return slots_[index]; }

    [[nodiscard]] unsigned size() const noexcept { return size_; }

    /// A number over all workers.
    [[nodiscard]] std::uint64_t sum(Counter counter) const noexcept;

  private:
    Counters* slots_;
    unsigned size_;
};

} // namespace dotproxy
