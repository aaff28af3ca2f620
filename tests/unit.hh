// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// cmocka for C++, with the includes in the order it needs.

#pragma once

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>

extern "C" {
#include <cmocka.h>
}
