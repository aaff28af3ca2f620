// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Date: the time as HTTP writes it, made once a second (E53).

#pragma once

#include <array>
#include <cstddef>
#include <ctime>
#include <optional>
#include <string_view>

namespace dotproxy::http {

class Date {
  public:
    /// IMF-fixdate (RFC 9110, section 5.6.7), "Sun, 06 Nov 1994 08:49:37 GMT", of `now`, which is
    /// seconds since 1970. It stands until the next call. Before 1970 and after 9999 it is that of
    /// 1970.
    [[nodiscard]] std::string_view at(std::time_t now) noexcept;

  private:
    static constexpr std::size_t length = 29;

    std::array<char, length + 1> text_{"Thu, 01 Jan 1970 00:00:00 GMT"};
    std::time_t written_{-1};
};

/// The time of an IMF-fixdate, in seconds since 1970; nullopt for anything else, obsolete forms
/// among it. The day of the week is not looked at.
[[nodiscard]] std::optional<std::time_t> parse_date(std::string_view text) noexcept;

} // namespace dotproxy::http
