// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/daemon.hh"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <stdexcept>
#include <sys/stat.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace dotproxy {

namespace {

[[noreturn]] void fail(const char* what) {
    throw std::system_error{errno, std::generic_category(), what};
}

constexpr mode_t pid_file_mode = S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH;

/// Whoever tries to start while another does has to be very unlucky to see its file replaced this
/// often.
constexpr int most_attempts = 16;

[[noreturn]] void refuse_pid_file(const std::string& path, const std::string& why) {
    throw std::runtime_error{path + ": " + why};
}

[[noreturn]] void refuse_pid_file(const std::string& path) {
    refuse_pid_file(path, std::generic_category().message(errno) +
                              "; give a file in a directory that is there and may be written to, "
                              "or \"\" for none");
}

/// A lock of the record kind: it belongs to the process alone, and tells who has it.
struct flock whole_file() noexcept {
    struct flock lock {};

    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

bool lock(const Fd& file) noexcept {
    struct flock lock = whole_file();
    return ::fcntl(file.get(), F_SETLK, &lock) == 0;
}

/// Who has the lock that was not to be had; 0: nobody any more.
pid_t holder(const Fd& file) noexcept {
    struct flock lock = whole_file();
    return ::fcntl(file.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? lock.l_pid : 0;
}

/// Whether `path` still leads to `file`, which somebody may have replaced before it was locked.
bool lies_at(const Fd& file, const std::string& path) noexcept {
    struct stat ours {};

    struct stat there {};

    return ::fstat(file.get(), &ours) == 0 && ::lstat(path.c_str(), &there) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/// Removes what lies at `path`, unless a running process holds its lock. Never writes to it: it may
/// be a link that somebody put there (L69).
void remove_stale(const std::string& path) {
    const Fd file{::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
    if (!file && errno == ENOENT) {
        return;
    }
    if (!file && errno != ELOOP) {
        refuse_pid_file(path);
    }
    if (file && !lock(file)) {
        if (const pid_t other = holder(file); other != 0) {
            refuse_pid_file(path, "process " + std::to_string(other) +
                                      " is running; end that one, or give another "
                                      "file");
        }
        return;
    }
    if (file && !lies_at(file, path)) {
        return; // somebody was faster; what lies there now is not what was locked
    }
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        refuse_pid_file(path);
    }
}

/// A file at `path` that is new, empty and locked by this process. Of several that try at once, one
/// comes through: a file that is replaced before it is locked is given up.
Fd create_locked(const std::string& path) {
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        Fd file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                       pid_file_mode)};
        if (file && lock(file) && lies_at(file, path)) {
            return file;
        }
        if (!file && errno != EEXIST) {
            refuse_pid_file(path);
        }
        if (!file) {
            remove_stale(path);
        }
    }
    refuse_pid_file(path, "others are starting at the same time");
}

} // namespace

void fill_standard_streams() noexcept {
    int lowest = -1; // that is free, each time
    do {
        lowest = ::open("/dev/null", O_RDWR);
    } while (lowest >= 0 && lowest <= STDERR_FILENO);
    const Fd not_needed{lowest};
}

Background Background::enter() {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
        fail("pipe");
    }
    Fd heard{pipe[0]};
    Background background;
    background.starter_.reset(pipe[1]);
    background.entered_ = true;
    const pid_t child = ::fork();
    if (child < 0) {
        fail("fork");
    }
    if (child > 0) {
        background.starter_.reset();
        std::uint8_t word = 0;
        ssize_t count = 0;
        do {
            count = ::read(heard.get(), &word, 1);
        } while (count < 0 && errno == EINTR);
        ::_exit(count == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    ::setsid();
    // Not a session leader, so that no terminal can become its own.
    const pid_t grandchild = ::fork();
    if (grandchild < 0) {
        fail("fork");
    }
    if (grandchild > 0) {
        ::_exit(EXIT_SUCCESS);
    }
    if (::chdir("/") != 0) {
        fail("chdir");
    }
    return background;
}

void Background::ready() noexcept {
    if (!starter_) {
        return;
    }
    const std::uint8_t word = 1;
    static_cast<void>(!::write(starter_.get(), &word, 1));
    let_go();
}

void Background::let_go() noexcept {
    if (!starter_) {
        return;
    }
    const Fd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    for (int fd = STDIN_FILENO; null && fd <= STDERR_FILENO; ++fd) {
        ::dup2(null.get(), fd);
    }
    starter_.reset();
}

PidFile::PidFile(std::string path, const std::string& place) : path_{std::move(path)} {
    if (path_.empty()) {
        return;
    }
    try {
        write();
    } catch (const std::runtime_error& problem) {
        throw std::runtime_error{place + ": " + problem.what()};
    }
}

void PidFile::write() {
    file_ = create_locked(path_);
    const std::string text = std::to_string(::getpid()) + "\n";
    // The mode whatever the umask: init scripts of other accounts read it too.
    if (::fchmod(file_.get(), pid_file_mode) != 0 ||
        ::write(file_.get(), text.data(), text.size()) < 0) {
        refuse_pid_file(path_);
    }
}

PidFile::~PidFile() {
    if (file_ && ::unlink(path_.c_str()) != 0) {
        // Of no use to anybody who reads it. If even that fails, its lock is gone all the same.
        static_cast<void>(!::ftruncate(file_.get(), 0));
    }
}

} // namespace dotproxy
