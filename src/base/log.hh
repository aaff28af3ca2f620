// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The log sink: the one global of the program. One line a call, to stderr, the journal or syslog.

#pragma once

#include "base/clock.hh"

#include <cstdint>

namespace dotproxy::log {

enum class Level : std::uint8_t { error, warning, notice, info, debug };

enum class Target : std::uint8_t {
    automatic, // stderr in the foreground, with priorities for the journal; else syslog
    standard_error,
    syslog,
};

/// Opens the sink. `foreground` decides what `automatic` means.
void open(Target target, Level level, bool foreground) noexcept;

/// Whether lines go to syslog(3), which connects anew when its daemon was started anew.
[[nodiscard]] bool uses_syslog() noexcept;

/// Sets who speaks: "master", "worker 2". Stands at the front of each line.
void set_role(const char* role) noexcept;

/// Whether lines of this level are written: ask before work that only serves a line.
[[nodiscard]] bool enabled(Level level) noexcept;

/// Writes one line. Control characters in it are written as \DDD (L11); errno is kept. Does not
/// wait for the reader of the standard error output: a line that finds no room there is lost, and
/// the next one says so.
[[gnu::format(printf, 2, 3)]] void write(Level level, const char* format, ...) noexcept;

/// Writes one line to the standard error output, whatever is open: why a command fails. It reads as
/// commands' errors do, and is an error to the journal.
void complain(const char* problem) noexcept;

/// Lets through a few lines at once and then one in so often (L71); says how many were held back.
class Limiter {
  public:
    /// `burst` lines at once, then one every `interval`.
    Limiter(unsigned burst, Clock::duration interval) noexcept
        : interval_{interval}, burst_{burst}, tokens_{burst} {}

    /// Whether a line may be written now; counts it as suppressed otherwise.
    [[nodiscard]] bool allow(TimePoint now) noexcept;
    /// How many lines were suppressed since the last that was allowed; resets.
    [[nodiscard]] std::uint64_t take_suppressed() noexcept;

  private:
    Clock::duration interval_;
    TimePoint last_{};
    std::uint64_t suppressed_{0};
    unsigned burst_;
    unsigned tokens_;
};

/// As write(), through a limiter.
[[gnu::format(printf, 4, 5)]] void write_limited(Limiter& limiter, TimePoint now, Level level,
                                                 const char* format, ...) noexcept;

} // namespace dotproxy::log
