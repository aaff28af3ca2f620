// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/daemon.hh"

#include <array>
#include <cerrno>
#include <charconv>
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

/// The process that an existing file names, if it runs; 0 otherwise.
pid_t running(const std::string& path) noexcept {
    const Fd file{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
    std::array<char, 16> text{};
    const ssize_t count = file ? ::read(file.get(), text.data(), text.size()) : 0;
    pid_t pid = 0;
    if (count > 0) {
        std::from_chars(text.data(), text.data() + count, pid);
    }
    const bool alive = pid > 1 && (::kill(pid, 0) == 0 || errno == EPERM);
    return alive && pid != ::getpid() ? pid : 0;
}

} // namespace

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

PidFile::PidFile(std::string path) : path_{std::move(path)} {
    if (path_.empty()) {
        return;
    }
    if (const pid_t other = running(path_); other != 0) {
        throw std::runtime_error{"pid_file " + path_ + ": process " + std::to_string(other) +
                                 " is running"};
    }
    ::unlink(path_.c_str());
    // Never through a link that somebody else put there.
    const Fd file{::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                         S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)};
    const std::string text = std::to_string(::getpid()) + "\n";
    // The mode whatever the umask: init scripts of other accounts read it too.
    if (!file || ::fchmod(file.get(), S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH) != 0 ||
        ::write(file.get(), text.data(), text.size()) < 0) {
        throw std::runtime_error{"pid_file " + path_ + ": " +
                                 std::system_category().message(errno)};
    }
}

PidFile::~PidFile() {
    if (!path_.empty()) {
        ::unlink(path_.c_str());
    }
}

} // namespace dotproxy
