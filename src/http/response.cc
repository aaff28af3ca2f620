// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/response.hh"

#include <charconv>

namespace dotproxy::http {

namespace {

constexpr std::string_view max_age_is = "max-age=";

/// `number` behind what stands in `text` up to `at`; all of it.
std::string_view append_number(std::span<char> text, std::size_t at,
                               std::uint64_t number) noexcept {
    const auto [end, error] = std::to_chars(text.data() + at, text.data() + text.size(), number);
    return {text.data(), static_cast<std::size_t>(end - text.data())};
}

} // namespace

Response::Response(Status status, std::size_t size, std::optional<std::uint32_t> max_age,
                   std::string_view date, const Service& service) noexcept {
    if (status == Status::ok) {
        add("content-type", "application/dns-message");
    } else if (status != Status::no_content) {
        add("content-type", "text/plain; charset=utf-8");
    }
    if (status != Status::no_content) { // RFC 9110, section 8.6
        add("content-length", append_number(length_, 0, size), true);
    }
    if (max_age) {
        max_age_is.copy(age_.data(), max_age_is.size());
        add("cache-control", append_number(age_, max_age_is.size(), *max_age), true);
    }
    add("date", date, true);
    if (status == Status::method_not_allowed) { // RFC 9110, section 15.5.6
        add("allow", service.cors ? "GET, HEAD, POST, OPTIONS" : "GET, HEAD, POST");
    }
    if (service.cors) {
        add("access-control-allow-origin", "*");
    }
    if (status == Status::no_content) { // what a browser wants to know before it posts
        add("access-control-allow-methods", "GET, POST");
        add("access-control-allow-headers", "content-type");
        add("access-control-max-age", "86400");
    }
}

} // namespace dotproxy::http
