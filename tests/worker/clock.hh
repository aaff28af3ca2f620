// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The test's own time: CLOCK_MONOTONIC and CLOCK_BOOTTIME stand still in a program that links this,
// and move when a test says so. So a test sees what happens one millisecond before a deadline and
// at it, on the busiest machine, and waits for neither.

#pragma once

#include "base/clock.hh"

namespace dotproxy::test {

/// Moves the clock to `when`; never back.
void set_clock(TimePoint when) noexcept;

} // namespace dotproxy::test
