// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Memory without a name: of the process that maps it, and of all that it forks.

#pragma once

#include <cstddef>

namespace dotproxy {

/// So many octets, all zero. A page is the kernel's until somebody looks at it. For munmap(2).
/// Throws std::system_error, whose text is `what`, when there is no memory.
[[nodiscard]] void* map_shared(std::size_t size, const char* what);

} // namespace dotproxy
