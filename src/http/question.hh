// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Question: what RFC 8484 makes of a request, whichever HTTP it came by: a DNS message, or the
// status that says why there is none (E53 to E58). It is told of a request part by part, as they
// arrive, and keeps of them what it needs and no more.

#pragma once

#include "base/buffer.hh"
#include "http/server.hh"
#include "http/status.hh"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dotproxy::http {

class Question {
  public:
    /// Of a path with its parameters, in octets; the longest DNS message that fits is 4.5 KiB.
    static constexpr std::size_t path_limit = 6144;

    /// Of all lines of X-Forwarded-For, in octets: some forty hops (E73).
    static constexpr std::size_t forwarded_limit = 2048;

    enum class Method : std::uint8_t { unknown, get, head, post, options, other };

    /// For the next request. Memory that was used for a usual one is kept for it.
    void begin() noexcept;

    /// The method, in capitals as it came (RFC 9110, section 9.1).
    void set_method(std::string_view name) noexcept;

    /// The path with its parameters. Of a GET the question is in it.
    void set_path(std::string_view path, const Service& service);

    /// One header field, its name in small letters, white space around its value removed. Of all
    /// but a few nothing is looked at (E57).
    void add_field(std::string_view name, std::string_view value, const Service& service);

    /// There are more fields, or longer ones, than anybody needs.
    void too_many_fields() noexcept { too_many_fields_ = true; }

    /// The head is complete. The status it is to be answered with, whatever follows; nullopt: the
    /// body is to come, if there is one.
    [[nodiscard]] std::optional<Status> judge_head(const Service& service) noexcept;

    /// A part of the body. false: it is longer than a DNS message, and the request is to be
    /// answered with Status::content_too_large.
    [[nodiscard]] bool add_body(std::span<const std::uint8_t> part);

    /// All of it has come, and the head was good. The status, if there is no message.
    [[nodiscard]] std::optional<Status> judge() const noexcept;

    /// The message, once nothing is held against it.
    [[nodiscard]] std::span<const std::uint8_t> message() const noexcept { return message_.view(); }

    [[nodiscard]] std::string_view forwarded_for() const noexcept { return forwarded_for_; }

    [[nodiscard]] bool forwarded_too_long() const noexcept { return forwarded_too_long_; }

    [[nodiscard]] Method method() const noexcept { return method_; }

    /// Whether the client waits for a word before it sends the body (RFC 9110, section 10.1.1).
    [[nodiscard]] bool expects_continue() const noexcept { return expects_continue_; }

    /// How many octets of a body are kept.
    [[nodiscard]] std::size_t body_size() const noexcept { return body_ ? message_.size() : 0; }

    /// Forgets the message; it is not going to be asked.
    void drop_message() noexcept;

  private:
    void set_parameters(std::string_view parameters);
    void add_forwarded(std::string_view value);

    Buffer message_; // of the path, and of a POST its body instead
    std::string forwarded_for_;
    std::size_t parameters_{0}; // how many of them are "dns"
    Method method_{Method::unknown};
    bool right_path_{false};
    bool long_path_{false};
    bool decoded_{false};
    bool typed_{false}; // there was a content-type
    bool right_type_{true};
    bool long_body_{false}; // by its content-length
    bool too_many_fields_{false};
    bool forwarded_too_long_{false};
    bool expects_continue_{false};
    bool body_{false};
};

} // namespace dotproxy::http
