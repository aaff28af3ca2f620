// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The header fields of an answer, which are the same in both versions of HTTP (E53, E56, E58, E59).

#pragma once

#include "http/question.hh"
#include "http/server.hh"
#include "http/status.hh"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace dotproxy::http {

struct Field {
    std::string_view name; // in small letters
    std::string_view value;
    bool fleeting; // the next answer has another value; all others stand for ever
};

class Response {
  public:
    static constexpr std::size_t most_fields = 8;

    /// For a body of so many octets, which HEAD does not get but is told of; `max_age` in seconds.
    /// The date stands as long as the response is used.
    Response(Status status, std::size_t size, std::optional<std::uint32_t> max_age,
             std::string_view date, const Service& service) noexcept;
    Response(const Response&) = delete;
    Response& operator=(const Response&) = delete;

    /// Without the status. They refer to this object.
    [[nodiscard]] std::span<const Field> fields() const noexcept {
        return std::span{fields_}.first(count_);
    }

  private:
    void add(std::string_view name, std::string_view value, bool fleeting = false) noexcept {
        fields_[count_++] = {name, value, fleeting};
    }

    std::array<Field, most_fields> fields_;
    std::size_t count_{0};
    std::array<char, 20> length_; // content-length
    std::array<char, 24> age_;    // cache-control
};

} // namespace dotproxy::http
