// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/server.hh"

#include <algorithm>

namespace dotproxy::http {

namespace {

// The rest of the line is looked at by who reads it.
constexpr std::string_view preface = "PRI * HTTP/2";

} // namespace

Version version_of(std::span<const std::uint8_t> begin) noexcept {
    const std::size_t size = std::min(begin.size(), preface.size());
    if (!std::equal(begin.begin(), begin.begin() + static_cast<std::ptrdiff_t>(size),
                    preface.begin())) {
        return Version::http1;
    }
    return size == preface.size() ? Version::http2 : Version::unknown;
}

} // namespace dotproxy::http
