// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/cookie_secrets.hh"

#include "base/fd.hh"
#include "config/document.hh"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace dotproxy {

namespace {

constexpr std::size_t most_octets = 4096; // with remarks
constexpr std::size_t digits_in_secret = 2 * CookieSecret{}.size();
constexpr std::size_t most_secrets = 2;
constexpr std::string_view blanks = " \t\r";

constexpr auto right_mode = "give it mode 0640 and the group of the service, or 0600 and its user";
constexpr auto right_text = "give a line or two of 32 hexadecimal digits, such as \"openssl rand "
                            "-hex 16\" writes";

/// Complains about one file, which a key named.
class Complaint {
  public:
    Complaint(const std::string& place, const std::string& path)
        : front_{place + ": " + in_quotes(path)} {}

    /// `right` says what would be.
    [[noreturn]] void refuse(const std::string& what, const char* right) const {
        throw ConfigError{front_ + ' ' + what + "; " + right};
    }

    /// Says nothing of what stands in the line, which may be most of a secret.
    [[noreturn]] void refuse_line(unsigned line, const char* what, const char* right) const {
        refuse("line " + std::to_string(line) + ' ' + what, right);
    }

  private:
    std::string front_;
};

std::string read_secret_file(const std::string& path, const Complaint& complaint) {
    const Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};

    struct stat status {};

    if (!fd || ::fstat(fd.get(), &status) != 0) {
        const int error = errno;
        complaint.refuse("cannot be read: " + std::generic_category().message(error),
                         error == EACCES ? right_mode : right_text);
    }
    if (!S_ISREG(status.st_mode)) {
        complaint.refuse("is not a regular file", right_text);
    }
    if ((status.st_mode & S_IROTH) != 0) {
        complaint.refuse("may be read by everybody", right_mode);
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        complaint.refuse("may be changed by others", right_mode);
    }
    std::string text(most_octets + 1, '\0');
    std::size_t size = 0;
    ssize_t count = 0;
    do {
        count = ::read(fd.get(), &text[size], text.size() - size);
        size += count > 0 ? static_cast<std::size_t>(count) : 0;
    } while ((count > 0 && size < text.size()) || (count < 0 && errno == EINTR));
    if (count < 0) {
        complaint.refuse("cannot be read: " + std::generic_category().message(errno),
                         "give another file");
    }
    if (size > most_octets) {
        complaint.refuse("is too large", right_text);
    }
    text.resize(size);
    return text;
}

int value_of(char digit) noexcept {
    constexpr std::string_view digits = "0123456789abcdef";
    const char lower = digit >= 'A' && digit <= 'F' ? static_cast<char>(digit - 'A' + 'a') : digit;
    const std::size_t value = digits.find(lower);
    return value == std::string_view::npos ? -1 : static_cast<int>(value);
}

CookieSecret parse_secret(std::string_view text, unsigned line, const Complaint& complaint) {
    if (text.size() != digits_in_secret ||
        std::ranges::any_of(text, [](char digit) { return value_of(digit) < 0; })) {
        complaint.refuse_line(line, "is no secret", right_text);
    }
    CookieSecret secret{};
    for (std::size_t i = 0; i < secret.size(); ++i) {
        secret.at(i) =
            static_cast<std::uint8_t>(value_of(text[2 * i]) << 4 | value_of(text[2 * i + 1]));
    }
    return secret;
}

/// Without a remark, and blanks around.
std::string_view trimmed(std::string_view line) noexcept {
    line = line.substr(0, line.find('#'));
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    return line.substr(0, line.find_last_not_of(blanks) + 1);
}

CookieSecrets parse_secrets(std::string_view text, const Complaint& complaint) {
    std::vector<CookieSecret> found;
    for (unsigned line = 1; !text.empty(); ++line) {
        const std::string_view row = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(row.size() + 1, text.size()));
        const std::string_view secret = trimmed(row);
        if (secret.empty()) {
            continue;
        }
        if (found.size() == most_secrets) {
            complaint.refuse_line(
                line, "is one secret too many",
                "give the one that makes cookies, and at most one that is accepted besides");
        }
        found.push_back(parse_secret(secret, line, complaint));
    }
    if (found.empty()) {
        complaint.refuse("has no secret", right_text);
    }
    CookieSecrets secrets{.first = found[0]};
    if (found.size() > 1) {
        secrets.second = found[1];
    }
    return secrets;
}

} // namespace

std::optional<CookieSecrets> load_cookie_secrets(const Config& config) {
    const std::string& path = config.limits.cookie_secret_file;
    if (path.empty()) {
        return std::nullopt;
    }
    const Complaint complaint{config.places.cookie_secret_file, path};
    return parse_secrets(read_secret_file(path, complaint), complaint);
}

} // namespace dotproxy
