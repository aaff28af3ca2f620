// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "sandbox/sandbox.hh"

#include "sandbox/filter.hh"
#include "sandbox/landlock.hh"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <malloc.h>
#include <new>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <system_error>
#include <ucontext.h>
#include <unistd.h>

namespace dotproxy::sandbox {

namespace {

constexpr int by_filter = 1; // si_code SYS_SECCOMP, which glibc 2.36 does not name
constexpr std::size_t least_stack = 32768;

[[noreturn]] void fail(const char* what) {
    throw std::system_error{errno, std::generic_category(), what};
}

/// What the handler's stack begins with. The kernel tells a handler where its stack is, so it needs
/// no global to find this. A stack of its own it needs since a program that was taken over may not
/// have one worth the name.
struct Post {
    Trace* trace;
};

[[noreturn]] void on_forbidden_call(int /*signal*/, siginfo_t* info, void* context) noexcept {
    if (info->si_code == by_filter) {
        const auto* post =
            static_cast<const Post*>(static_cast<const ucontext_t*>(context)->uc_stack.ss_sp);
        post->trace->store(pack_call(info->si_arch, info->si_syscall));
    }
    // SIGSYS is blocked in here, and a forbidden call with it blocked is the end: the kernel kills
    // the process with that signal. This one is forbidden.
    ::syscall(SYS_getppid);
    ::_exit(EXIT_FAILURE);
}

void set_trap(Trace& trace) {
    // As much as this processor's registers take, and some for the handler. Unmapped by nobody.
    const long wanted = ::sysconf(_SC_SIGSTKSZ);
    const std::size_t size =
        std::max(wanted > 0 ? static_cast<std::size_t>(wanted) : 0, least_stack);
    void* memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fail("mmap");
    }
    new (memory) Post{&trace};
    const stack_t stack{.ss_sp = memory, .ss_flags = 0, .ss_size = size};
    if (::sigaltstack(&stack, nullptr) != 0) {
        fail("sigaltstack");
    }

    struct sigaction action {};

    action.sa_sigaction = on_forbidden_call;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    if (::sigaction(SIGSYS, &action, nullptr) != 0) {
        fail("sigaction");
    }
}

/// syslog(3) asks for the time zone with every line; with a name for it, it reads the file once.
void settle_time_zone() noexcept {
    // NOLINTBEGIN(concurrency-mt-unsafe): one thread
    ::setenv("TZ", ":/etc/localtime", 0);
    ::tzset();
    // NOLINTEND(concurrency-mt-unsafe)
}

} // namespace

void hide_memory() noexcept {
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void show_memory() noexcept {
    ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

void enter(const Needs& needs, Trace& trace) {
    hide_memory();
    const rlimit none{.rlim_cur = 0, .rlim_max = 0};
    ::setrlimit(RLIMIT_CORE, &none);
    if (needs.syslog) {
        settle_time_zone();
    }
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        fail("no_new_privs");
    }
    if (const int version = landlock_version(); version > 0) {
        enter_landlock(version, needs);
    }
    set_trap(trace);
    load_filter(needs);
    // To make the filter took some 100 KiB, which every worker would keep.
    ::malloc_trim(0);
}

} // namespace dotproxy::sandbox
