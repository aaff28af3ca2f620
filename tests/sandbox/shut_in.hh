// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What becomes of a process that enters the sandbox and then does something.

#pragma once

#include "sandbox/sandbox.hh"

#include <csignal>
#include <cstdlib>
#include <new>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace dotproxy::test {

/// How a process ended.
struct Ending {
    int status{-1};
    std::string call; // by which name it died; empty: of none

    [[nodiscard]] bool well() const noexcept {
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }

    [[nodiscard]] bool by(int signal) const noexcept {
        return WIFSIGNALED(status) && WTERMSIG(status) == signal;
    }

    /// Its filter killed it for this call.
    [[nodiscard]] bool by(const std::string& name) const noexcept {
        return by(SIGSYS) && call == name;
    }
};

/// A place for the call that another process dies of.
class SharedTrace {
  public:
    SharedTrace() noexcept
        : memory_{::mmap(nullptr, sizeof(sandbox::Trace), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0)} {
        new (memory_) sandbox::Trace{0};
    }

    SharedTrace(const SharedTrace&) = delete;
    SharedTrace& operator=(const SharedTrace&) = delete;

    ~SharedTrace() { ::munmap(memory_, sizeof(sandbox::Trace)); }

    [[nodiscard]] sandbox::Trace& operator*() const noexcept {
        return *static_cast<sandbox::Trace*>(memory_);
    }

  private:
    void* memory_;
};

/// Forks a process that enters the sandbox; `part()` says whether it is content.
template <class Part>
Ending shut_in(const sandbox::Needs& needs, Part part) {
    const SharedTrace trace;
    const pid_t child = ::fork();
    if (child == 0) {
        sandbox::enter(needs, *trace);
        ::_exit(part() ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    Ending ending;
    if (::waitpid(child, &ending.status, 0) != child) {
        return {};
    }
    if (const std::uint64_t call = (*trace).load(); call != 0) {
        ending.call = sandbox::call_name(call);
    }
    return ending;
}

template <class Part>
Ending shut_in(Part part) {
    return shut_in(sandbox::Needs{}, part);
}

} // namespace dotproxy::test
