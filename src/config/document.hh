// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Document: a parsed configuration file, and Value: one place in it, which knows its key and its
// line and can complain about both. What libconfig is ends here; what a key means starts at
// load.cc.

#pragma once

#include "base/clock.hh"
#include "config/keys.hh"
#include "config/source.hh"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct config_setting_t;

namespace dotproxy {

/// A value that stands in the file. Its Document outlives it. Every reader throws ConfigError where
/// the value is not of the type or in the range asked for.
class Value {
  public:
    /// The path of its key: "upstreams[0].addresses[1]"; empty for the file as a whole.
    [[nodiscard]] const std::string& key() const noexcept { return key_; }

    /// "FILE:LINE: KEY"
    [[nodiscard]] std::string place() const;

    /// Throws a ConfigError: "FILE:LINE: KEY: " and what is wrong; what would be right.
    [[noreturn]] void refuse(const std::string& what) const;

    /// A string that is not empty; `example` is what a right one looks like.
    [[nodiscard]] std::string string(std::string_view example) const;
    /// A string, or an empty one.
    [[nodiscard]] std::string string_or_empty(std::string_view example) const;
    /// One of `words`: its index.
    [[nodiscard]] std::size_t word(Words words) const;
    [[nodiscard]] long long integer(long long least, long long most) const;
    /// With or without a fraction.
    [[nodiscard]] double number(double least, double most) const;
    [[nodiscard]] bool boolean() const;
    [[nodiscard]] Milliseconds duration(Milliseconds least, Milliseconds most) const;
    /// The same of what is counted in seconds.
    [[nodiscard]] std::chrono::seconds seconds(std::chrono::seconds least,
                                               std::chrono::seconds most) const;
    /// Octets; 0 is taken as well.
    [[nodiscard]] std::uint64_t size_or_zero(std::uint64_t least, std::uint64_t most) const;

    /// The elements of a list or an array; `example` shows one.
    [[nodiscard]] std::vector<Value> elements(std::string_view example) const;

    /// Refuses what is not a group, and in a group every key that is not `known`.
    void check_group(Words known) const;
    /// A member of a group; nullopt when it is not there.
    [[nodiscard]] std::optional<Value> find(std::string_view name) const;

  private:
    friend class Document;

    Value(const Source& source, const config_setting_t* setting, std::string key) noexcept
        : source_{&source}, setting_{setting}, key_{std::move(key)} {}

    [[nodiscard]] int type() const noexcept;
    [[noreturn]] void refuse_type(const std::string& wanted) const;

    const Source* source_;
    const config_setting_t* setting_;
    std::string key_;
};

/// A configuration file, read and parsed.
class Document {
  public:
    /// Throws ConfigError where the text is not in libconfig's syntax.
    explicit Document(Source source);
    Document(const Document&) = delete; // its values point to it
    Document& operator=(const Document&) = delete;
    ~Document();

    [[nodiscard]] const Source& source() const noexcept { return source_; }

    /// The group that the whole file is.
    [[nodiscard]] Value root() const noexcept;

  private:
    struct Tree;

    Source source_;
    std::unique_ptr<Tree> tree_;
};

/// The elements of a list that must not be empty.
[[nodiscard]] std::vector<Value> some(const Value& list, std::string_view example);

/// A member that a group must have; `example` is what it looks like.
[[nodiscard]] Value required(const Value& group, std::string_view name, const std::string& example);

/// The port that a group gives.
[[nodiscard]] std::uint16_t read_port(const Value& group, std::uint16_t otherwise);

/// `text` in double quotes, cut off where it is very long: for messages.
[[nodiscard]] std::string in_quotes(std::string_view text);

} // namespace dotproxy
