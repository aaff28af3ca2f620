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

// cmocka's macros have the names of functions of ours and of the C++ library. What is left of them
// is fail_msg(), which says why a test failed, as printf would.
#undef fail
#undef skip
#undef fail_msg
#define fail_msg(...)                                                                              \
    do {                                                                                           \
        print_error("ERROR: " __VA_ARGS__);                                                        \
        print_error("\n");                                                                         \
        _fail(__FILE__, __LINE__);                                                                 \
    } while (0)
