// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Counts what a program that links this takes with operator new.

#pragma once

#include <cstddef>

namespace dotproxy::test {

/// So far.
[[nodiscard]] std::size_t allocations() noexcept;

} // namespace dotproxy::test
