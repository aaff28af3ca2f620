// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Going into the background the classic way, for init scripts; and the file with the process's
// number.

#pragma once

#include "base/fd.hh"

#include <string>

namespace dotproxy {

/// A process in the background whose starter still waits to hear how the start went.
class Background {
  public:
    /// Forks and leaves the terminal's session; returns in the background process only. The process
    /// that was started ends with status 0 when ready() is called, with 1 if that never happens.
    /// Throws std::system_error.
    [[nodiscard]] static Background enter();

    /// Nothing was put into the background.
    Background() noexcept = default;

    [[nodiscard]] bool entered() const noexcept { return entered_; }

    /// Tells the starter, and lets go of it.
    void ready() noexcept;
    /// Lets go of the starter and its terminal without a word; for a child of the process.
    void let_go() noexcept;

  private:
    Fd starter_;
    bool entered_{false};
};

/// The file that holds the number of the running process (L69).
class PidFile {
  public:
    /// Writes it; an empty path: none. Throws std::runtime_error when that is not possible or the
    /// process an older file names still runs.
    explicit PidFile(std::string path);
    PidFile(const PidFile&) = delete;
    PidFile& operator=(const PidFile&) = delete;
    /// Removes it where the directory permits that.
    ~PidFile();

  private:
    std::string path_;
};

} // namespace dotproxy
