// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// For one file of a program that has libconfig read what is wrong: libconfig 1.5 forgets the string
// that a syntax error cuts short, which LeakSanitizer, who asks for this, need not tell.

#pragma once

extern "C" const char* __lsan_default_suppressions();

extern "C" const char* __lsan_default_suppressions() {
    return "leak:libconfig.so\n";
}
