// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The one clock of every timer (L72): CLOCK_MONOTONIC. Wall clock time: certificates, cookies.

#pragma once

#include <chrono>

namespace dotproxy {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Milliseconds = std::chrono::milliseconds;

} // namespace dotproxy
