// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Runs a part of a test in a process of its own: what changes a process for good, or what a fresh
// environment is needed for. And files, without streams, as cmocka
// has a macro by the name of one of their functions; for the same reason include this before it.

#pragma once

#include "base/fd.hh"

#include <array>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <initializer_list>
#include <memory>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace dotproxy::test {

/// What `part()` returns in a forked process, as its exit status: 0 for good, else a number that
/// says which of its checks failed. 255: it threw or died.
template <class Part>
int in_child(Part part) {
    const pid_t child = ::fork();
    if (child == 0) {
        int result = 255;
        try {
            result = part();
        } catch (const std::exception& problem) {
            static_cast<void>(std::fprintf(stderr, "# threw: %s\n", problem.what()));
        }
        ::_exit(result);
    }
    int status = -1;
    if (::waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
        return 255;
    }
    return WEXITSTATUS(status);
}

/// The number of the first of `checks` that does not hold, counted from 1; 0 when all do.
inline int first_failure(std::initializer_list<bool> checks) noexcept {
    int number = 0;
    for (const bool check : checks) {
        ++number;
        if (!check) {
            return number;
        }
    }
    return 0;
}

/// What a file holds; empty when it cannot be read.
inline std::string read_file(const std::string& path) {
    const Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    std::string text;
    std::array<char, 4096> part{};
    ssize_t count = 0;
    while ((count = ::read(file.get(), part.data(), part.size())) > 0) {
        text.append(part.data(), static_cast<std::size_t>(count));
    }
    return text;
}

/// false: it could not be written.
[[nodiscard]] inline bool write_file(const std::string& path, const std::string& text) {
    const Fd file{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    return ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

} // namespace dotproxy::test
