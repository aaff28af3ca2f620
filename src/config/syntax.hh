// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What is wrong with a text that libconfig refuses. libconfig names a line, which is often the one
// after the fault, and says "syntax error"; here the text is read once more, to say what a person
// most likely did and where, to the column. It decides nothing: a text that libconfig takes never
// comes here.

#pragma once

#include "config/source.hh"

#include <string>

namespace dotproxy {

/// What libconfig itself says about a text that it refused.
struct LibraryError {
    unsigned line; // of Source::text(), counted from 1
    std::string text;
};

/// "FILE:LINE:COLUMN: KEY: what is wrong; what would be right", of the first fault in `source`;
/// "syntax error" in place of the key where there is none. The column counts octets from 1. Where
/// no fault is found, what the library says, without a column.
[[nodiscard]] std::string explain_syntax(const Source& source, const LibraryError& otherwise);

} // namespace dotproxy
