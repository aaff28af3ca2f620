// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What of an answer section answers its question (L82), for this room alone.

#pragma once

#include "dns/name.hh"
#include "dns/query.hh"
#include "dns/record.hh"
#include "dns/wire.hh"

#include <array>
#include <cstddef>
#include <cstdint>

namespace dotproxy::dns {

/// Links from alias to alias that an answer may have.
constexpr std::size_t max_links = 16;

/// What of an answer section answers the question.
enum class Answering : std::uint8_t {
    all,  // no record does not; also where there is none
    some, // there are records beside the answer
    none, // nothing but signatures at most, or more aliases than an answer may have
};

/// Which of the `count` records at `at` belong to the answer to `asked`: see Lineage::contains().
/// The records have been walked before, and `message` holds the question `asked`.
[[nodiscard]] Answering answers(Octets message, const Question& asked, std::size_t at,
                                std::size_t count) noexcept;

/// The names that an answer may be about: QNAME and what is reached from there by CNAME and DNAME
/// records of the answer section, in whatever order they stand. Borrows its message and question.
class Lineage {
  public:
    /// Knows QNAME alone.
    Lineage(Octets message, const Question& asked) noexcept;

    /// Follows the aliases among the `count` records at `at`, which is the answer section. false:
    /// there are more of them than an answer may have.
    [[nodiscard]] bool trace(std::size_t at, std::size_t count) noexcept;

    /// Whether the record belongs to the answer: its owner is one of the names, or it is a DNAME
    /// that redirects one of them, and it has the type and class asked for or is an alias or a
    /// signature.
    [[nodiscard]] bool contains(const Record& record) const noexcept;

  private:
    static constexpr std::size_t max_names = max_links + 1;
    /// A DNAME comes with the CNAME that it stands for (RFC 6672, section 3.1).
    static constexpr std::size_t max_alias_records = 2 * max_links;

    bool follow(const Name& name, std::size_t index) noexcept;
    bool substitute(const Name& name, std::size_t prefix, const Record& dname) noexcept;
    bool add(const Name& name) noexcept;
    bool find(const Name& name) const noexcept;
    bool is_redirection(const Record& record, const Name& owner) const noexcept;

    Octets message_;
    const Question& asked_;
    std::array<Name, max_names> names_;
    std::size_t name_count_{1};
    std::array<Record, max_alias_records> aliases_;
    std::array<bool, max_alias_records> redirects_{}; // a DNAME that a name went through
    std::size_t alias_count_{0};
};

} // namespace dotproxy::dns
