// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What a daemon owes to whoever started it: standard streams, going into the background the classic
// way, for init scripts, and the file with the process's number.

#pragma once

#include "base/fd.hh"

#include <string>

namespace dotproxy {

/// Opens /dev/null in place of each standard stream that is closed: what is opened later would come
/// to stand there, and be written to as the standard error output.
void fill_standard_streams() noexcept;

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

/// The file that holds the number of the running process (L69). The process keeps it locked: a
/// number alone may have become that of some other program. The lock ends with the process, however
/// it ends, and a child does not inherit it.
class PidFile {
  public:
    /// Writes it; an empty path: none. Throws std::runtime_error when that is not possible or
    /// another process holds the lock of the file that is there; `place` is who named the file, the
    /// front of the message then.
    PidFile(std::string path, const std::string& place);
    PidFile(const PidFile&) = delete;
    PidFile& operator=(const PidFile&) = delete;
    /// Removes it, or where the directory does not permit that, empties it.
    ~PidFile();

    /// For a process that was just forked: lets go of what is the master's.
    void close() noexcept { file_.reset(); }

  private:
    void write();

    std::string path_;
    Fd file_;
};

} // namespace dotproxy
