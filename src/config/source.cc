// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/source.hh"

#include "base/fd.hh"
#include "config/config.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <iterator>
#include <sys/stat.h>
#include <system_error>

namespace dotproxy {

namespace {

constexpr std::size_t max_text = 1 << 20;
constexpr unsigned max_files = 100;
constexpr unsigned max_depth = 10;

constexpr std::string_view blanks = " \t\r";
constexpr std::string_view digits = "0123456789";
constexpr std::string_view hex_digits = "0123456789abcdefABCDEF";
constexpr std::string_view word_starts = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_*";
constexpr std::string_view word_letters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-*";

std::string error_text(int error) {
    return std::generic_category().message(error);
}

/// Reads a regular file whole. `front` stands before whatever is wrong.
std::string read_file(const std::string& path, const std::string& front) {
    // O_NONBLOCK: the open of a FIFO would wait for a writer.
    const Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};

    struct stat status {};

    if (!fd || ::fstat(fd.get(), &status) != 0) {
        throw ConfigError{front + "cannot be read: " + error_text(errno)};
    }
    if (!S_ISREG(status.st_mode)) {
        throw ConfigError{front + "cannot be read: not a regular file"};
    }
    std::string text;
    std::array<char, 16384> part; // NOLINT(cppcoreguidelines-pro-type-member-init): read into
    while (text.size() <= max_text) {
        const ssize_t size = ::read(fd.get(), part.data(), part.size());
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0) {
            throw ConfigError{front + "cannot be read: " + error_text(errno)};
        }
        if (size == 0) {
            break;
        }
        text.append(part.data(), static_cast<std::size_t>(size));
    }
    return text;
}

/// What some editors put in front of a text; libconfig takes it for a fault in the first line.
std::string encoding_problem(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) {
        return "begins with a byte order mark; save it as UTF-8 without one";
    }
    if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
        return "is in UTF-16; save it as UTF-8, without a byte order mark";
    }
    return {};
}

std::string_view take_while(std::string_view& text, std::string_view set) noexcept {
    const std::string_view taken =
        text.substr(0, std::min(text.find_first_not_of(set), text.size()));
    text.remove_prefix(taken.size());
    return taken;
}

} // namespace

/// Puts a Source together, line by line.
class SourceReader {
  public:
    explicit SourceReader(Source& source) noexcept : source_{source} {}

    void read_all(std::string_view text, const std::string& file);

  private:
    // Where the end of a line leaves the scanner, the same that libconfig's would be in.
    enum class State : std::uint8_t { plain, string, comment };

    void read(std::string_view text, const std::string& file, unsigned depth);
    void include(std::string_view line, const std::string& front, const std::string& file,
                 unsigned depth);
    void copy_line(std::string_view line);
    void copy_plain(std::string_view& line);
    void copy_number(std::string_view& line);
    void copy_string(std::string_view& line);
    void copy_comment(std::string_view& line);
    void copy(std::string_view& line, std::size_t size);
    void begin_piece(const std::string& file, unsigned line);

    Source& source_;
    State state_{State::plain};
    unsigned line_{1};   // of the whole text
    unsigned opened_{1}; // the line that the string or comment began on
    unsigned files_{0};
};

// libconfig takes a comment that never ends for a good end of the file.
void SourceReader::read_all(std::string_view text, const std::string& file) {
    read(text, file, 0);
    if (state_ != State::plain) {
        throw ConfigError{source_.where(opened_) +
                          (state_ == State::comment ? ": the comment has no end; close it with */"
                                                    : ": the string has no end; close it with \"")};
    }
}

void SourceReader::read(std::string_view text, const std::string& file, unsigned depth) {
    if (++files_ > max_files) {
        throw ConfigError{file + ": too many included files; at most " + std::to_string(max_files) +
                          " can be taken in"};
    }
    if (const std::string problem = encoding_problem(text); !problem.empty()) {
        throw ConfigError{file + ":1:1: " + problem};
    }
    if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
        const auto line =
            1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(nul), '\n');
        throw ConfigError{file + ':' + std::to_string(line) +
                          ": holds an octet 0; a configuration is plain text"};
    }
    begin_piece(file, 1);
    for (unsigned line = 1; !text.empty(); ++line) {
        std::string_view row = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(row.size() + 1, text.size()));
        std::string_view directive = row;
        take_while(directive, blanks);
        if (state_ == State::plain && directive.starts_with("@include")) {
            include(directive, file + ':' + std::to_string(line) + ": @include: ", file, depth);
            begin_piece(file, line + 1);
        } else {
            copy_line(row);
        }
        if (source_.text_.size() > max_text) {
            throw ConfigError{file + ": too large; at most 1 MiB of configuration is read"};
        }
    }
}

void SourceReader::include(std::string_view line, const std::string& front, const std::string& file,
                           unsigned depth) {
    line.remove_prefix(std::string_view{"@include"}.size());
    take_while(line, blanks);
    const std::size_t end = line.find('"', 1);
    if (!line.starts_with('"') || end == std::string_view::npos || end == 1) {
        throw ConfigError{front + "no file is named; give its path in double quotes"};
    }
    std::string path{line.substr(1, end - 1)};
    line.remove_prefix(end + 1);
    take_while(line, blanks);
    if (!line.empty() && !line.starts_with('#') && !line.starts_with("//")) {
        throw ConfigError{front + "more follows on the line; begin a new line after it"};
    }
    if (depth == max_depth) {
        throw ConfigError{front + "nested too deep; at most " + std::to_string(max_depth) +
                          " files can include one another"};
    }
    if (path.front() != '/') {
        path.insert(0, file, 0, file.rfind('/') + 1);
    }
    read(read_file(path, front + path + ": "), path, depth + 1);
}

void SourceReader::copy_line(std::string_view line) {
    while (!line.empty()) {
        switch (state_) {
        case State::plain:
            copy_plain(line);
            break;
        case State::string:
            copy_string(line);
            break;
        case State::comment:
            copy_comment(line);
            break;
        }
    }
    source_.text_ += '\n';
    ++line_;
}

void SourceReader::copy_plain(std::string_view& line) {
    if (line.starts_with('#') || line.starts_with("//")) {
        line = {};
    } else if (line.starts_with("/*")) {
        copy(line, 2);
        state_ = State::comment;
        opened_ = line_;
    } else if (line.starts_with('"')) {
        copy(line, 1);
        state_ = State::string;
        opened_ = line_;
    } else if (digits.find(line.front()) != std::string_view::npos) {
        copy_number(line);
    } else if (word_starts.find(line.front()) != std::string_view::npos) {
        copy(line, std::min(line.find_first_not_of(word_letters), line.size()));
    } else {
        copy(line, 1);
    }
}

// libconfig 1.5 cuts an integer off to 32 bits where no L follows it, so that 4294967297 would be
// taken for 1. With an L, and not more digits than 64 bits hold, the range check sees it.
void SourceReader::copy_number(std::string_view& line) {
    std::string_view rest = line;
    const bool hex = rest.starts_with("0x") || rest.starts_with("0X");
    rest.remove_prefix(hex ? 2 : 0);
    std::string_view number = take_while(rest, hex ? hex_digits : digits);
    number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
    const bool integer =
        hex || rest.empty() || std::string_view{".eE"}.find(rest.front()) == std::string_view::npos;
    if (!integer || number.size() < (hex ? 8U : 10U)) {
        copy(line, line.size() - rest.size());
        return;
    }
    take_while(rest, "L");
    source_.text_.append(hex ? "0x" : "").append(number.substr(0, hex ? 15 : 18)) += 'L';
    line = rest;
}

void SourceReader::copy_string(std::string_view& line) {
    const std::size_t size = std::min(line.find_first_of("\"\\"), line.size());
    copy(line, size);
    if (line.starts_with('\\')) {
        copy(line, std::min<std::size_t>(2, line.size()));
    } else if (line.starts_with('"')) {
        copy(line, 1);
        state_ = State::plain;
    }
}

void SourceReader::copy_comment(std::string_view& line) {
    const std::size_t end = line.find("*/");
    if (end == std::string_view::npos) {
        line = {};
        return;
    }
    source_.text_.append(end, ' '); // what follows keeps its column
    line.remove_prefix(end);
    copy(line, 2);
    state_ = State::plain;
}

void SourceReader::copy(std::string_view& line, std::size_t size) {
    source_.text_.append(line.substr(0, size));
    line.remove_prefix(size);
}

void SourceReader::begin_piece(const std::string& file, unsigned line) {
    source_.pieces_.push_back({line_, file, line});
}

Source Source::from_file(const std::string& path) {
    Source source;
    SourceReader{source}.read_all(read_file(path, path + ": "), path);
    return source;
}

Source Source::from_text(std::string_view text, const std::string& name) {
    Source source;
    SourceReader{source}.read_all(text, name);
    return source;
}

std::string Source::where(unsigned line) const {
    const auto next = std::ranges::upper_bound(pieces_, line, {}, &Piece::first);
    const Piece& piece = next == pieces_.begin() ? pieces_.front() : *std::prev(next);
    return piece.file + ':' + std::to_string(piece.line + (line - std::min(line, piece.first)));
}

} // namespace dotproxy
