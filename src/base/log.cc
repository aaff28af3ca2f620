// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// One line is one write(2), so that the lines of several processes never mix. Everything is done in
// buffers of fixed size on the stack: logging needs no memory and cannot fail. It does not wait for
// whoever reads the standard error output either: what that has no room for is lost, and counted.

#include "base/log.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <string_view>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>
#include <utility>

namespace dotproxy::log {

namespace {

/// Fills a line from the left and never beyond its end.
class Line {
  public:
    void add(std::string_view text) noexcept {
        for (const char c : text) {
            add(c);
        }
    }

    /// Adds text that may hold anything: what is not printable ASCII becomes \DDD (L11). UTF-8 is
    /// no exception, since control characters hide in it as well.
    void add_escaped(std::string_view text) noexcept {
        for (const char c : text) {
            const auto octet = static_cast<unsigned char>(c);
            if (octet >= 0x20 && octet < 0x7f) {
                add(c);
            } else {
                const std::array<char, 4> escaped{'\\', digit(octet / 100U),
                                                  digit(octet / 10U % 10U), digit(octet % 10U)};
                add({escaped.data(), escaped.size()});
            }
        }
    }

    /// The line, with a newline at its end and dots where something was cut off.
    [[nodiscard]] std::string_view finish() noexcept {
        if (full_) {
            std::fill_n(text_.begin() + capacity - 3, 3, '.');
        }
        text_.at(size_) = '\n';
        return {text_.data(), size_ + 1};
    }

  private:
    static constexpr std::size_t capacity = 1023; // without the newline

    static char digit(unsigned value) noexcept { return static_cast<char>('0' + value); }

    void add(char c) noexcept {
        if (size_ < capacity) {
            text_.at(size_++) = c;
        } else {
            full_ = true;
        }
    }

    std::array<char, capacity + 1> text_; // [0, size_) is meaningful
    std::size_t size_{0};
    bool full_{false};
};

struct Sink {
    std::array<char, 32> role{};
    Level level{Level::notice};
    std::uint64_t lost{0}; // lines, since the last that was written
    bool to_syslog{false};
    bool to_journal{false};
};

// One for the process, like the standard error output it stands for.
constinit Sink sink; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

int priority_of(Level level) noexcept {
    switch (level) {
    case Level::error:
        return LOG_ERR;
    case Level::warning:
        return LOG_WARNING;
    case Level::notice:
        return LOG_NOTICE;
    case Level::info:
        return LOG_INFO;
    case Level::debug:
        return LOG_DEBUG;
    }
    return LOG_ERR;
}

/// What a reader who sees no priorities needs to be told; what is normal needs no word.
std::string_view word_for(Level level) noexcept {
    switch (level) {
    case Level::error:
        return "error: ";
    case Level::warning:
        return "warning: ";
    case Level::debug:
        return "debug: ";
    case Level::notice:
    case Level::info:
        break;
    }
    return {};
}

/// Whether the journal reads our standard error: systemd says which file it connected, and a child
/// whose output was sent elsewhere inherits the variable all the same (systemd.exec(5)).
bool stderr_is_journal() noexcept {
    const char* stream = std::getenv("JOURNAL_STREAM"); // NOLINT(concurrency-mt-unsafe): one thread

    struct stat file {};

    if (stream == nullptr || ::fstat(STDERR_FILENO, &file) != 0) {
        return false;
    }
    std::array<char, 48> expected{};
    std::snprintf(expected.data(), expected.size(), "%llu:%llu",
                  static_cast<unsigned long long>(file.st_dev),
                  static_cast<unsigned long long>(file.st_ino));
    return std::string_view{stream} == expected.data();
}

void add_speaker(Line& line, Level level, bool to_journal) noexcept {
    if (to_journal) {
        // The journal adds the program's name itself (sd-daemon(3)).
        const std::array<char, 3> front{'<', static_cast<char>('0' + priority_of(level)), '>'};
        line.add({front.data(), front.size()});
    } else {
        line.add("dotproxy: ");
    }
}

void add_front(Line& line, Level level) noexcept {
    add_speaker(line, level, sink.to_journal);
    if (sink.role.front() != '\0') {
        line.add_escaped(sink.role.data());
        line.add(": ");
    }
    if (!sink.to_journal) {
        line.add(word_for(level));
    }
}

void add_count(Line& line, std::uint64_t count, const char* what) noexcept {
    if (count > 0) {
        std::array<char, 64> tail{};
        std::snprintf(tail.data(), tail.size(), " (%llu %s)",
                      static_cast<unsigned long long>(count), what);
        line.add(tail.data());
    }
}

/// Whether a line can be written at once. No question waits for a pipe that nobody empties or a
/// terminal that was stopped; nor for a journal that hangs.
bool has_room() noexcept {
    pollfd standard_error{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    return ::poll(&standard_error, 1, 0) == 1;
}

void write_out(std::string_view whole) noexcept {
    // Nobody is left to be told when even this fails.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, whole.data(), whole.size());
}

[[gnu::format(printf, 3, 0)]] void write_line(Level level, std::uint64_t suppressed,
                                              const char* format, va_list arguments) noexcept {
    const int kept_errno = errno;
    if (!sink.to_syslog && !has_room()) {
        ++sink.lost;
        errno = kept_errno;
        return;
    }
    std::array<char, 1024> text{};
    std::vsnprintf(text.data(), text.size(), format, arguments);
    Line line;
    if (sink.to_syslog) {
        line.add_escaped(sink.role.data());
        line.add(sink.role.front() != '\0' ? ": " : "");
    } else {
        add_front(line, level);
    }
    line.add_escaped(text.data());
    add_count(line, suppressed, "more held back");
    add_count(line, std::exchange(sink.lost, 0), "lines before this one lost");
    const std::string_view whole = line.finish();
    if (sink.to_syslog) {
        ::syslog(priority_of(level), "%.*s", static_cast<int>(whole.size() - 1), whole.data());
    } else {
        write_out(whole);
    }
    errno = kept_errno;
}

} // namespace

void open(Target target, Level level, bool foreground) noexcept {
    sink.level = level;
    sink.to_syslog = target == Target::syslog || (target == Target::automatic && !foreground);
    sink.to_journal = !sink.to_syslog && stderr_is_journal();
    ::closelog();
    if (sink.to_syslog) {
        // LOG_NDELAY: later the process may have no descriptor to spare.
        ::openlog("dotproxy", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    }
}

bool uses_syslog() noexcept {
    return sink.to_syslog;
}

void set_role(const char* role) noexcept {
    std::snprintf(sink.role.data(), sink.role.size(), "%s", role);
}

bool enabled(Level level) noexcept {
    return level <= sink.level;
}

void write(Level level, const char* format, ...) noexcept {
    if (!enabled(level)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    write_line(level, 0, format, arguments);
    va_end(arguments);
}

void complain(const char* problem) noexcept {
    Line line;
    add_speaker(line, Level::error, stderr_is_journal());
    line.add_escaped(problem);
    write_out(line.finish());
}

bool Limiter::allow(TimePoint now) noexcept {
    if (tokens_ == burst_) {
        last_ = now;
    } else if (now - last_ >= interval_ * (burst_ - tokens_)) {
        tokens_ = burst_;
        last_ = now;
    } else {
        // Less than burst_ of them, so the narrowing is safe; and interval_ > 0 here.
        const auto gained = static_cast<unsigned>((now - last_) / interval_);
        tokens_ += gained;
        last_ += gained * interval_;
    }
    if (tokens_ == 0) {
        ++suppressed_;
        return false;
    }
    --tokens_;
    return true;
}

std::uint64_t Limiter::take_suppressed() noexcept {
    return std::exchange(suppressed_, 0);
}

void write_limited(Limiter& limiter, TimePoint now, Level level, const char* format, ...) noexcept {
    if (!enabled(level) || !limiter.allow(now)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    write_line(level, limiter.take_suppressed(), format, arguments);
    va_end(arguments);
}

} // namespace dotproxy::log
