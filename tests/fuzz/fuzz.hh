// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the fuzz targets share: the entry point, which libFuzzer or run_corpus.cc calls, and a check
// that ends the program where an invariant is broken.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

/// Feeds one input to the target. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace dotproxy::fuzz {

/// Ends the program, so that the fuzzer keeps the input, unless `holds`.
inline void require(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "broken: %s\n", what);
        std::abort();
    }
}

} // namespace dotproxy::fuzz
