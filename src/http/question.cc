// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/question.hh"

#include "base/number.hh"
#include "http/ascii.hh"
#include "http/base64url.hh"

#include <algorithm>
#include <array>
#include <utility>

namespace dotproxy::http {

namespace {

constexpr std::string_view message_type = "application/dns-message";

// What was longer is freed after the request: who asks once with a long one shall not cost more
// from then on.
constexpr std::size_t kept = 1024;

// Those that RFC 9110, section 9.3, and RFC 5789 define, and that are none of ours (E58).
constexpr std::array<std::string_view, 5> others{"PUT", "DELETE", "CONNECT", "TRACE", "PATCH"};

Question::Method method_of(std::string_view name) noexcept {
    using Method = Question::Method;
    if (name == "GET") {
        return Method::get;
    }
    if (name == "POST") {
        return Method::post;
    }
    if (name == "HEAD") {
        return Method::head;
    }
    if (name == "OPTIONS") {
        return Method::options;
    }
    return std::find(others.begin(), others.end(), name) != others.end() ? Method::other
                                                                         : Method::unknown;
}

} // namespace

void Question::begin() noexcept {
    Buffer message = std::exchange(message_, {});
    std::string forwarded_for = std::exchange(forwarded_for_, {});
    *this = Question{};
    if (message.size() <= kept) {
        message.clear();
        message_ = std::move(message);
    }
    if (forwarded_for.capacity() <= kept) {
        forwarded_for.clear();
        forwarded_for_ = std::move(forwarded_for);
    }
}

void Question::set_method(std::string_view name) noexcept {
    method_ = method_of(name);
}

void Question::set_path(std::string_view path, const Service& service) {
    if (path.size() > path_limit) {
        long_path_ = true;
        return;
    }
    std::string_view parameters = path;
    right_path_ = take_until('?', parameters) == service.path;
    if (right_path_) {
        set_parameters(parameters);
    }
}

/// E54. A name that is written with percent signs is another one.
void Question::set_parameters(std::string_view parameters) {
    constexpr std::string_view ours = "dns=";
    while (!parameters.empty()) {
        std::string_view value = take_until('&', parameters);
        if (!value.starts_with(ours) || ++parameters_ > 1) {
            continue;
        }
        value.remove_prefix(ours.size());
        const auto size = decode_base64url(value, message_.grow(base64url_size(value.size())));
        decoded_ = size.has_value();
    }
}

void Question::add_field(std::string_view name, std::string_view value, const Service& service) {
    if (name == "content-type") {
        std::string_view type = value;
        typed_ = true;
        right_type_ = right_type_ && same_letters(trimmed(take_until(';', type)), message_type);
    } else if (name == "content-length") {
        const auto length = parse_number<std::uint64_t>(value);
        long_body_ = long_body_ || !length || *length > Server::body_limit;
    } else if (name == "x-forwarded-for" && service.forwarded) {
        add_forwarded(value);
    } else if (name == "expect") {
        expects_continue_ = same_letters(value, "100-continue");
    }
}

void Question::add_forwarded(std::string_view value) {
    constexpr std::string_view separator = ", "; // RFC 9110, section 5.3
    forwarded_too_long_ = forwarded_too_long_ ||
                          forwarded_for_.size() + separator.size() + value.size() > forwarded_limit;
    if (forwarded_too_long_) {
        return;
    }
    if (!forwarded_for_.empty()) {
        forwarded_for_ += separator;
    }
    forwarded_for_ += value;
}

std::optional<Status> Question::judge_head(const Service& service) noexcept {
    if (too_many_fields_) {
        return Status::fields_too_large;
    }
    if (long_path_) {
        return Status::uri_too_long;
    }
    if (method_ == Method::unknown) {
        return Status::not_implemented;
    }
    if (method_ == Method::other) {
        return Status::method_not_allowed; // CONNECT has no path
    }
    if (!right_path_) {
        return Status::not_found;
    }
    if (method_ == Method::options) {
        return service.cors ? Status::no_content : Status::method_not_allowed;
    }
    if (method_ == Method::post && !(typed_ && right_type_)) {
        return Status::unsupported_media_type;
    }
    if (long_body_) {
        return Status::content_too_large;
    }
    if (method_ == Method::post) {
        drop_message(); // of the path: what a POST asks is in its body (RFC 8484, section 4.1)
        body_ = true;
        return std::nullopt;
    }
    return parameters_ == 1 && decoded_ && !message_.empty() ? std::nullopt
                                                             : std::optional{Status::bad_request};
}

bool Question::add_body(std::span<const std::uint8_t> part) {
    if (!body_) {
        return true; // of a GET: it means nothing (RFC 9110, section 9.3.1)
    }
    if (part.size() > Server::body_limit - message_.size()) {
        return false;
    }
    message_.append(part);
    return true;
}

std::optional<Status> Question::judge() const noexcept {
    return message_.empty() ? std::optional{Status::bad_request} : std::nullopt;
}

void Question::drop_message() noexcept {
    if (message_.size() > kept) {
        message_ = {};
    } else {
        message_.clear();
    }
}

} // namespace dotproxy::http
