// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/url.hh"

#include "config/config.hh"
#include "config/identity_text.hh"

#include <algorithm>
#include <charconv>
#include <optional>

namespace dotproxy {

namespace {

constexpr std::size_t longest_path = 1024;

/// What a request line may have (RFC 3986, section 3.3 and 3.4).
bool is_of_path(char c) noexcept {
    constexpr std::string_view others = "-._~!$&'()*+,;=:@/?%";
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos;
}

/// A port, or what is usual where there is none.
std::optional<std::uint16_t> read_port(std::string_view text) noexcept {
    if (text.empty()) {
        return default_doh_port;
    }
    std::uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto result = std::from_chars(text.data() + 1, end, port);
    const bool good = text.front() == ':' && result.ec == std::errc{} && result.ptr == end;
    return good && port > 0 ? std::optional{port} : std::nullopt;
}

} // namespace

std::variant<Url, std::string_view> parse_url(std::string_view text) {
    constexpr std::string_view scheme = "https://";
    constexpr std::string_view template_end = "{?dns}";
    if (!text.starts_with(scheme)) {
        return "does not begin with https://";
    }
    text.remove_prefix(scheme.size());
    if (text.ends_with(template_end)) {
        text.remove_suffix(template_end.size());
    }
    const std::size_t slash = std::min(text.find_first_of("/?#"), text.size());
    const std::string_view place = text.substr(0, slash);
    const std::string_view path = text.substr(slash);
    if (place.find('@') != std::string_view::npos) {
        return "has a user, and nobody is told who asks";
    }
    if (!path.starts_with('/')) {
        return "has no path";
    }
    if (path.size() > longest_path || !std::ranges::all_of(path, is_of_path)) {
        return "has a path that no request can have";
    }
    const bool bracketed = place.starts_with('[');
    const std::size_t host_end =
        bracketed ? place.find(']') : std::min(place.find(':'), place.size());
    if (host_end == std::string_view::npos) {
        return "has a [ without a ]";
    }
    const auto name =
        parse_server_name(place.substr(bracketed ? 1 : 0, host_end - (bracketed ? 1 : 0)));
    const auto port = read_port(place.substr(bracketed ? host_end + 1 : host_end));
    if (!name || bracketed != (name->find(':') != std::string::npos)) {
        return "has neither a DNS name nor an IP address between https:// and the path";
    }
    if (!port) {
        return "has a port that is none";
    }
    return Url{.name = *name,
               .port = *port,
               .authority = (bracketed ? "[" + *name + "]" : *name) +
                            (*port == default_doh_port ? "" : ":" + std::to_string(*port)),
               .path = std::string{path}};
}

} // namespace dotproxy
