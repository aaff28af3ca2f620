// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Measures the shared cache by itself: how often it knows the answer when names are asked for as
// Zipf's law has it, beside caches of as many entries that evict what was used, or stored, longest
// ago; what a look-up, an insertion and a flush take; and what two processes that ask for the same
// name cost each other. The traces are the same in each run. Ends with 1 if the hit ratio is more
// than two points below that of LRU.

#include "shared/cache.hh"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <exception>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace dotproxy;

namespace {

constexpr std::size_t mebi = std::size_t{1} << 20U;
constexpr std::size_t look_ups = 3'000'000;
constexpr double most_lost = 2.0; // points
constexpr std::uint64_t stored_at = 1'000'000;

// A name of 40 octets, with type, class and flags; an address record under it.
using Key = std::array<std::uint8_t, 45>;
using Value = std::array<std::uint8_t, 30>;
constexpr std::size_t octets_of_entry = 3 * 8 + (sizeof(Key) + sizeof(Value) + 7) / 8 * 8;

// Of processor time: whoever else is busy on this machine shall not count.
double seconds() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// SplitMix64.
class Random {
  public:
    explicit Random(std::uint64_t seed) noexcept : state_{seed} {}

    std::uint64_t next() noexcept {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t number = state_;
        number = (number ^ number >> 30U) * 0xbf58476d1ce4e5b9U;
        number = (number ^ number >> 27U) * 0x94d049bb133111ebU;
        return number ^ number >> 31U;
    }

    /// Between 0 and 1.
    double fraction() noexcept { return static_cast<double>(next() >> 11U) * 0x1p-53; }

  private:
    std::uint64_t state_;
};

/// Numbers below `universe`: number i is drawn in proportion to 1 / (i + 1) ^ exponent.
std::vector<std::uint32_t> make_trace(std::size_t universe, double exponent) {
    std::vector<double> below(universe);
    double sum = 0;
    for (std::size_t i = 0; i < universe; ++i) {
        sum += std::pow(static_cast<double>(i + 1), -exponent);
        below[i] = sum;
    }
    Random random{1};
    std::vector<std::uint32_t> trace(look_ups);
    for (std::uint32_t& number : trace) {
        const auto at = std::ranges::upper_bound(below, random.fraction() * sum);
        const auto index = static_cast<std::size_t>(at - below.begin());
        number = static_cast<std::uint32_t>(std::min(index, universe - 1));
    }
    return trace;
}

/// Evicts what was used longest ago, or, unless `moves`, what was stored longest ago.
class Queue {
  public:
    Queue(std::size_t universe, std::size_t capacity, bool moves)
        : links_(universe + 1, {absent, absent}), end_{static_cast<std::uint32_t>(universe)},
          capacity_{capacity}, moves_{moves} {
        links_[end_] = {end_, end_};
    }

    /// Whether it is there; it is afterwards.
    bool look_up(std::uint32_t number) noexcept {
        const bool hit = links_[number].next != absent;
        if (hit && !moves_) {
            return true;
        }
        if (hit) {
            remove(number);
        } else if (size_ == capacity_) {
            remove(links_[end_].next);
        } else {
            ++size_;
        }
        append(number);
        return hit;
    }

  private:
    struct Link {
        std::uint32_t previous;
        std::uint32_t next;
    };

    static constexpr std::uint32_t absent = ~std::uint32_t{0};

    void remove(std::uint32_t number) noexcept {
        const Link link = links_[number];
        links_[link.previous].next = link.next;
        links_[link.next].previous = link.previous;
        links_[number] = {absent, absent};
    }

    void append(std::uint32_t number) noexcept {
        const std::uint32_t last = links_[end_].previous;
        links_[number] = {last, end_};
        links_[last].next = number;
        links_[end_].previous = number;
    }

    std::vector<Link> links_; // the last one is the end of the list
    std::uint32_t end_;
    std::size_t capacity_;
    std::size_t size_{0};
    bool moves_;
};

Key key_of(std::uint64_t number) noexcept {
    Key key{};
    for (std::size_t i = 0; i < key.size(); ++i) {
        key[i] = static_cast<std::uint8_t>(i < 8 ? number >> 8 * i : 'a' + i % 26);
    }
    return key;
}

void insert(Cache& cache, const Key& key) noexcept {
    Value value{};
    (void)cache.insert({.key = key, .value = value, .stored_at = stored_at, .ttl = 300}, stored_at);
}

/// The cache, asked like a Queue.
class Asker {
  public:
    explicit Asker(const CacheMemory& memory) : cache_{memory, 0} {}

    bool look_up(std::uint32_t number) noexcept {
        const Key key = key_of(number);
        const bool hit = cache_.find(key).has_value();
        if (!hit) {
            insert(cache_, key);
        }
        return hit;
    }

  private:
    Cache cache_;
};

/// Hits in percent.
template <typename T>
double hit_ratio(T&& cache, const std::vector<std::uint32_t>& trace) {
    std::size_t hits = 0;
    for (const std::uint32_t number : trace) {
        hits += cache.look_up(number) ? 1U : 0U;
    }
    return 100 * static_cast<double>(hits) / static_cast<double>(trace.size());
}

bool compare_with_lru() {
    bool good = true;
    std::printf("hit ratio, %zu look-ups of ten times as many names as fit\n"
                "  Zipf    names  entries  dotproxy     LRU    FIFO  behind LRU\n",
                look_ups);
    for (const std::size_t size : {mebi, 8 * mebi}) {
        for (const double exponent : {0.9, 1.0, 1.1}) {
            const CacheMemory memory{size, 1};
            const std::size_t capacity = memory.capacity() / octets_of_entry;
            const std::size_t universe = 10 * capacity;
            const std::vector<std::uint32_t> trace = make_trace(universe, exponent);
            const double ours = hit_ratio(Asker{memory}, trace);
            const double lru = hit_ratio(Queue{universe, capacity, true}, trace);
            const double fifo = hit_ratio(Queue{universe, capacity, false}, trace);
            std::printf("  %.1f  %7zu  %7zu    %5.2f %%  %5.2f %%  %5.2f %%  %10.2f\n", exponent,
                        universe, capacity, ours, lru, fifo, lru - ours);
            good = good && lru - ours <= most_lost;
        }
    }
    return good;
}

/// Runs `work` for each of `count` numbers and prints what one took.
template <typename T>
void time(const char* what, std::size_t count, T work) {
    const double begin = seconds();
    for (std::size_t i = 0; i < count; ++i) {
        work(i);
    }
    std::printf("  %-34s %7.0f ns\n", what, (seconds() - begin) * 1e9 / static_cast<double>(count));
}

void measure_times() {
    const CacheMemory memory{64 * mebi, 1};
    Cache cache{memory, 0};
    const std::size_t fits = memory.capacity() / octets_of_entry;
    std::printf("a cache of 64 MiB, names of 40 octets with one address each\n");
    time("insertion, room left", fits / 2, [&](std::size_t i) { insert(cache, key_of(i)); });
    time("look-up, found, never used before", fits / 2,
         [&](std::size_t i) { (void)cache.find(key_of(i)); });
    time("look-up, found", fits / 2, [&](std::size_t i) { (void)cache.find(key_of(i)); });
    time("look-up, not there", fits / 2,
         [&](std::size_t i) { (void)cache.find(key_of(fits + i)); });
    time("look-up, one name again and again", fits,
         [&](std::size_t) { (void)cache.find(key_of(7)); });
    time("insertion, all in use, full", 2 * fits,
         [&](std::size_t i) { insert(cache, key_of(fits + i)); });

    const CacheStats stats = cache.stats();
    std::printf("  octets for an entry, all told      %7.1f\n",
                static_cast<double>(stats.size) / static_cast<double>(stats.entries));
    std::printf("  entries in a shard                 %zu to %zu\n", stats.fewest, stats.most);
    const double begin = seconds();
    // As a flush of all names below one does: it looks at the key of every entry.
    const std::size_t removed = cache.flush([](const Entry& entry) { return entry.key[0] == 7; });
    std::printf("  flush of %zu entries of %zu    %.1f ms\n", removed, stats.entries,
                (seconds() - begin) * 1e3);
}

/// Look-ups of one name a second, for half a second.
double hammer(Cache& cache) {
    constexpr std::size_t batch = 1000;
    const Key key = key_of(7);
    const double begin = seconds();
    std::size_t count = 0;
    while (seconds() < begin + 0.5) {
        for (std::size_t i = 0; i < batch; ++i) {
            count += cache.find(key) ? 1U : 0U;
        }
    }
    return static_cast<double>(count) / (seconds() - begin) / 1e6;
}

/// `hammer` in two processes at once; the rate of each. The other one may insert instead.
std::array<double, 2> hammer_twice(const CacheMemory& memory, bool other_inserts) {
    Cache cache{memory, 0};
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) {
        return {};
    }
    const pid_t child = ::fork();
    if (child == 0) {
        const double until = seconds() + 0.5;
        for (std::uint64_t i = 0; other_inserts && seconds() < until; ++i) {
            insert(cache, key_of(1'000'000 + i));
        }
        const double rate = other_inserts ? 0 : hammer(cache);
        ::_exit(::write(ends[1], &rate, sizeof rate) == sizeof rate ? 0 : 1);
    }
    std::array<double, 2> rates{hammer(cache), 0};
    (void)!::read(ends[0], &rates[1], sizeof rates[1]);
    ::waitpid(child, nullptr, 0);
    ::close(ends[0]);
    ::close(ends[1]);
    return rates;
}

void measure_contention() {
    const CacheMemory memory{64 * mebi, 1};
    Cache cache{memory, 0};
    insert(cache, key_of(7));
    std::printf("one name, millions of look-ups a second\n");
    std::printf("  one process alone              %6.2f\n", hammer(cache));
    const auto both = hammer_twice(memory, false);
    std::printf("  two processes at once          %6.2f and %.2f\n", both[0], both[1]);
    std::printf("  while the other one inserts    %6.2f\n", hammer_twice(memory, true)[0]);
}

} // namespace

int main() {
    try {
        const bool good = compare_with_lru();
        measure_times();
        std::fflush(stdout);
        measure_contention();
        return good ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "zipf: %s\n", error.what());
        return 1;
    }
}
