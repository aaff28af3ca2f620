// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/status.hh"

#include <algorithm>
#include <array>

namespace dotproxy::http {

namespace {

struct Words {
    Status status;
    std::string_view number;
    std::string_view phrase;
    std::string_view explanation;
};

constexpr std::array all{
    Words{Status::ok, "200", "OK", {}},
    Words{Status::no_content, "204", "No Content", {}},
    Words{Status::bad_request, "400", "Bad Request", "This is no DNS question (RFC 8484).\n"},
    Words{Status::forbidden, "403", "Forbidden", "You may not ask here.\n"},
    Words{Status::not_found, "404", "Not Found", "Questions are not answered at this path.\n"},
    Words{Status::method_not_allowed, "405", "Method Not Allowed",
          "Questions are asked with GET or POST (RFC 8484).\n"},
    Words{Status::length_required, "411", "Length Required",
          "A question that is posted needs a Content-Length.\n"},
    Words{Status::content_too_large, "413", "Content Too Large",
          "This is longer than a DNS message can be.\n"},
    Words{Status::uri_too_long, "414", "URI Too Long", "Post a question of this length.\n"},
    Words{Status::unsupported_media_type, "415", "Unsupported Media Type",
          "Questions are of the type application/dns-message (RFC 8484).\n"},
    Words{Status::fields_too_large, "431", "Request Header Fields Too Large",
          "There are too many header fields, or they are too long.\n"},
    Words{Status::not_implemented, "501", "Not Implemented",
          "This method is not known here. Questions are asked with GET or POST (RFC 8484).\n"},
    Words{Status::version_not_supported, "505", "HTTP Version Not Supported",
          "HTTP/1.1 and HTTP/2 are spoken here.\n"},
};

const Words& words_of(Status status) noexcept {
    const auto* found = std::find_if(all.begin(), all.end(),
                                     [=](const Words& words) { return words.status == status; });
    return found != all.end() ? *found : all.front();
}

} // namespace

std::string_view number(Status status) noexcept {
    return words_of(status).number;
}

std::string_view phrase(Status status) noexcept {
    return words_of(status).phrase;
}

std::string_view explanation(Status status) noexcept {
    return words_of(status).explanation;
}

} // namespace dotproxy::http
