// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Status: what a request can be answered with, and in which words (E58).

#pragma once

#include <cstdint>
#include <string_view>

namespace dotproxy::http {

/// Status codes, RFC 9110, section 15, and RFC 6585, section 5. Their values are the numbers.
enum class Status : std::uint16_t {
    ok = 200,         // with a DNS message, whatever that says (RFC 8484, section 4.2.1)
    no_content = 204, // what OPTIONS asks for CORS
    bad_request = 400,
    forbidden = 403,
    not_found = 404,
    method_not_allowed = 405,
    length_required = 411,
    content_too_large = 413,
    uri_too_long = 414,
    unsupported_media_type = 415,
    fields_too_large = 431,
    not_implemented = 501,
    version_not_supported = 505,
};

/// The number as HTTP/2 writes it, "404".
[[nodiscard]] std::string_view number(Status status) noexcept;

/// What follows it in HTTP/1.1, "Not Found".
[[nodiscard]] std::string_view phrase(Status status) noexcept;

/// The line of text that goes with it, its end included: for a person who looks why there is no
/// answer. Empty where there is none.
[[nodiscard]] std::string_view explanation(Status status) noexcept;

} // namespace dotproxy::http
