// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What this program is, and what it runs with.

#pragma once

#include <string>

namespace dotproxy {

/// "0.1.0"
[[nodiscard]] const char* version_number() noexcept;

/// Program and libraries, a line each; of the libraries the versions in use where they tell it.
[[nodiscard]] std::string version_text();

} // namespace dotproxy
