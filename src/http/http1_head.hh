// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The head of an HTTP/1.1 request (RFC 9112), read strictly: a proxy in front of us and we must not
// differ about where a request ends (E72).

#pragma once

#include "http/question.hh"
#include "http/server.hh"
#include "http/status.hh"

#include <cstdint>
#include <optional>
#include <string_view>

namespace dotproxy::http {

struct Head {
    /// Something is wrong by which it is not known where the next request begins: the connection
    /// ends with this status.
    std::optional<Status> error;
    std::uint64_t body_size{0}; // octets, as the client says
    bool keep_alive{true};      // the client may ask more
};

/// Reads what comes before the empty line, without the end of the last line, and tells the question
/// of it, which was begun. More than 64 fields are too many (Status::fields_too_large).
///
/// Errors: bad_request for what is no such head, white space where none may be, a line end that is
/// not CR LF, a field that goes on in the next line (RFC 9112, section 5.2), none or two of Host
/// with HTTP/1.1 (section 3.2), two lengths or one beside Transfer-Encoding (section 6.3);
/// length_required for Transfer-Encoding; version_not_supported for all but 1.0 and 1.1.
[[nodiscard]] Head parse_head(std::string_view text, Question& question, const Service& service);

} // namespace dotproxy::http
