// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/http1_head.hh"

#include "base/number.hh"
#include "http/ascii.hh"

#include <algorithm>
#include <array>

namespace dotproxy::http {

namespace {

constexpr std::size_t fields_count_limit = 64;

// No field that means something here has a longer name.
constexpr std::size_t known_name_limit = 24;

constexpr bool is_token_character(char character) noexcept {
    const char lower = to_lower(character);
    return (lower >= 'a' && lower <= 'z') || (character >= '0' && character <= '9') ||
           std::string_view{"!#$%&'*+-.^_`|~"}.find(character) != std::string_view::npos;
}

/// RFC 9110, section 5.6.2.
bool is_token(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

/// RFC 9110, section 5.5: no control characters but the tab.
bool is_value(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char character) {
        const auto octet = static_cast<unsigned char>(character);
        return (octet >= 0x20 && octet != 0x7f) || octet == '\t';
    });
}

bool is_target(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char character) {
        return character > 0x20 && character < 0x7f;
    });
}

/// The path of a target in absolute form, which every server has to take (RFC 9112, section 3.2.2).
std::string_view path_of(std::string_view target) noexcept {
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (same_letters(target.substr(0, scheme.size()), scheme)) {
            target.remove_prefix(scheme.size());
            const auto begin = target.find('/');
            return begin == std::string_view::npos ? "/" : target.substr(begin);
        }
    }
    return target;
}

/// Takes a line out of `rest`; nullopt: it has an end that is none.
std::optional<std::string_view> take_line(std::string_view& rest) noexcept {
    const auto end = rest.find('\r');
    std::string_view line = rest.substr(0, end);
    if (end == std::string_view::npos) {
        rest = {};
    } else if (rest.substr(end).starts_with("\r\n")) {
        rest.remove_prefix(end + 2);
    } else {
        return std::nullopt;
    }
    return line.find('\n') == std::string_view::npos ? std::optional{line} : std::nullopt;
}

class Parser {
  public:
    Parser(Question& question, const Service& service) noexcept
        : question_{question}, service_{service} {}

    /// Each says what is wrong, if it is an error.
    std::optional<Status> take_request_line(std::string_view line);
    std::optional<Status> take_field(std::string_view line);
    [[nodiscard]] std::optional<Status> judge() const noexcept;

    Head head;

  private:
    void take_connection(std::string_view value) noexcept;

    Question& question_;
    const Service& service_;
    std::size_t fields_{0};
    unsigned hosts_{0};
    unsigned lengths_{0};
    bool encoded_{false};
    bool oldest_{false}; // HTTP/1.0
};

std::optional<Status> Parser::take_request_line(std::string_view line) {
    std::string_view rest = line;
    const std::string_view method = take_until(' ', rest);
    const std::string_view target = take_until(' ', rest);
    if (!is_token(method) || !is_target(target) || !rest.starts_with("HTTP/") ||
        rest.find(' ') != std::string_view::npos) {
        return Status::bad_request;
    }
    oldest_ = rest == "HTTP/1.0";
    if (rest != "HTTP/1.1" && !oldest_) {
        return Status::version_not_supported;
    }
    head.keep_alive = !oldest_;
    question_.set_method(method);
    question_.set_path(path_of(target), service_);
    return std::nullopt;
}

std::optional<Status> Parser::take_field(std::string_view line) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) || !is_value(line)) {
        return Status::bad_request; // it goes on in the next line, among others
    }
    if (++fields_ > fields_count_limit) {
        question_.too_many_fields();
    }
    std::array<char, known_name_limit> letters;
    if (colon > letters.size()) {
        return std::nullopt;
    }
    std::transform(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(colon), letters.begin(),
                   to_lower);
    const std::string_view name{letters.data(), colon};
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (name == "host") {
        ++hosts_;
    } else if (name == "connection") {
        take_connection(value);
    } else if (name == "transfer-encoding") {
        encoded_ = true;
    } else if (name == "content-length") {
        const auto length = parse_number<std::uint64_t>(value);
        if (!length) {
            return Status::bad_request;
        }
        ++lengths_;
        head.body_size = *length;
    }
    question_.add_field(name, value, service_);
    return std::nullopt;
}

void Parser::take_connection(std::string_view value) noexcept {
    while (!value.empty()) {
        if (same_letters(trimmed(take_until(',', value)), "close")) {
            head.keep_alive = false;
        }
    }
}

std::optional<Status> Parser::judge() const noexcept {
    if (hosts_ > 1 || (hosts_ == 0 && !oldest_) || lengths_ > 1 || (lengths_ > 0 && encoded_)) {
        return Status::bad_request;
    }
    return encoded_ ? std::optional{Status::length_required} : std::nullopt;
}

} // namespace

Head parse_head(std::string_view text, Question& question, const Service& service) {
    Parser parser{question, service};
    bool first = true;
    do {
        const auto line = take_line(text);
        if (!line) {
            parser.head.error = Status::bad_request;
        } else if (first) {
            parser.head.error = parser.take_request_line(*line);
            first = false;
        } else {
            parser.head.error = parser.take_field(*line);
        }
    } while (!text.empty() && !parser.head.error);
    if (!parser.head.error) {
        parser.head.error = parser.judge();
    }
    return parser.head;
}

} // namespace dotproxy::http
