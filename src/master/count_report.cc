// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/count_report.hh"

namespace dotproxy {

namespace {

constexpr std::uint64_t nanoseconds_per_microsecond = 1000;
constexpr std::string_view upstream_front = "upstream_";

/// A key of an upstream without what all of them begin with.
std::string rest_of(const std::string& key) {
    return key.substr(upstream_front.size());
}

void report_time(const std::string& key, const HistogramTotal& total, const CountVisit& visit) {
    visit(key + "_count", total.count());
    visit(key + "_us", total.sum / nanoseconds_per_microsecond);
}

/// One enumeration, over all workers.
template <class Key>
void report_each(const CounterRegion& counters, const CountVisit& visit) {
    for_each_of<Key>([&](Key key) { visit(name_of(key), counters.sum(key)); });
}

/// One enumeration, of some addresses of upstreams, whose keys all begin alike.
template <class Key>
void report_each(const CounterRegion& counters, std::span<const unsigned> rows,
                 const std::string& front, const CountVisit& visit) {
    for_each_of<Key>([&](Key key) {
        std::uint64_t sum = 0;
        for (const unsigned row : rows) {
            sum += counters.sum(row, key);
        }
        visit(front + rest_of(name_of(key)), sum);
    });
}

void report_rows(const CounterRegion& counters, std::span<const unsigned> rows,
                 const std::string& front, const CountVisit& visit) {
    report_each<UpstreamCounter>(counters, rows, front, visit);
    report_each<ConnectFailure>(counters, rows, front, visit);
    report_each<ClosedBy>(counters, rows, front, visit);
    for_each_of<UpstreamTime>([&](UpstreamTime what) {
        HistogramTotal total;
        counters.for_each_slot([&](const Counters& slot) {
            for (const unsigned row : rows) {
                total.add(slot.upstream(row).time(what));
            }
        });
        report_time(front + rest_of(name_of(what)), total, visit);
    });
}

/// SERVFAIL of our own; what had failed just before has a key of its own, cache_failures.
void report_failures(const CounterRegion& counters, const CountVisit& visit) {
    std::uint64_t failures = 0;
    for_each_of<FailureReason>([&](FailureReason reason) { failures += counters.sum(reason); });
    visit("failures", failures - counters.sum(FailureReason::cached));
    visit("overload", counters.sum(FailureReason::overload));
    report_each<FailureReason>(counters, visit);
}

} // namespace

void report_counts(const CounterRegion& counters, const CountVisit& visit) {
    report_each<Counter>(counters, visit);
    report_failures(counters, visit);
    report_each<QueryType>(counters, visit);
    report_each<ResponseCode>(counters, visit);
    for_each_of<Outcome>([&](Outcome outcome) {
        HistogramTotal total;
        counters.for_each_slot([&](const Counters& slot) { total.add(slot.duration(outcome)); });
        report_time(name_of(outcome), total, visit);
    });
    HistogramTotal turns;
    counters.for_each_slot([&](const Counters& slot) { turns.add(slot.turns()); });
    report_time("turn_duration", turns, visit);
    std::vector<unsigned> rows;
    counters.for_each_row([&](unsigned row) { rows.push_back(row); });
    report_rows(counters, rows, std::string{upstream_front}, visit);
    report_each<TlsFailure>(counters, visit);
    report_each<RestartReason>(counters, visit);
    report_each<ReloadResult>(counters, visit);
}

void report_upstream(const CounterRegion& counters, unsigned row, const std::string& front,
                     const CountVisit& visit) {
    report_rows(counters, {&row, 1}, front, visit);
}

} // namespace dotproxy
