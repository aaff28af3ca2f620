// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the service has counted, by the keys of dotproxyctl(8).

#pragma once

#include "shared/counter_region.hh"

#include <cstdint>
#include <functional>
#include <string>

namespace dotproxy {

/// Takes one number and its key.
using CountVisit = std::function<void(const std::string& key, std::uint64_t value)>;

/// Visits all there is of the service as a whole, in the order of the manual. Times come as how
/// many were measured and as their sum in microseconds.
void report_counts(const CounterRegion& counters, const CountVisit& visit);

/// Visits what there is of the upstream's address that has `row`: the keys that begin with
/// "upstream_", with `front` in place of that.
void report_upstream(const CounterRegion& counters, unsigned row, const std::string& front,
                     const CountVisit& visit);

} // namespace dotproxy
