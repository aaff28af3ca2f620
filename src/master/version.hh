// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What this program is, and what it runs with.

#pragma once

#include <string>

namespace dotproxy {

/// Program and libraries, a line each; of the libraries the versions in use where they tell it.
[[nodiscard]] std::string version_text();

} // namespace dotproxy
