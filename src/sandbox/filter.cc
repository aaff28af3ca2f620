// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What is looked at beyond a call's number is what tells a use of ours from one that would serve
// somebody else. Calls without a condition cost nothing: the kernel (5.11) keeps a bitmap of them
// and does not run the filter.

#include "sandbox/filter.hh"

#include <array>
#include <cerrno>
#include <initializer_list>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

#include <linux/sockios.h>

namespace dotproxy::sandbox {

namespace {

struct Free {
    void operator()(void* filter) const noexcept { seccomp_release(filter); }
};

using Filter = std::unique_ptr<void, Free>;

/// Whichever of them an architecture has; libseccomp knows which.
constexpr std::array unconditional{
    // The loop, and the data plane in it; what sends has a condition.
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_create1),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(ppoll_time64), SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmmsg_time64), SCMP_SYS(recvfrom), SCMP_SYS(recv), SCMP_SYS(recvmsg),
    SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(getpeername), SCMP_SYS(getsockname),
    SCMP_SYS(close), SCMP_SYS(dup),
    // The log, and the last words of the C and the C++ library.
    SCMP_SYS(write), SCMP_SYS(writev),
    // Memory; mmap and mprotect have conditions. qsort(3) asks how much there is.
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(sysinfo),
    // Clocks, where the kernel lends us no code for them.
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(gettimeofday), SCMP_SYS(time),
    // GnuTLS's random numbers: their source, and what is stirred in.
    SCMP_SYS(getrandom), SCMP_SYS(getrusage), SCMP_SYS(getpid), SCMP_SYS(gettid),
    // The mutexes in the cache.
    SCMP_SYS(futex), SCMP_SYS(futex_time64),
    // To be stopped and go on, and to end; abort(3) has its condition.
    SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(exit_group), SCMP_SYS(exit)};

[[noreturn]] void fail(int result, const char* what) {
    throw std::system_error{-result, std::generic_category(), what};
}

/// An argument of type int, which is all that the kernel looks at of its register.
scmp_arg_cmp is(unsigned argument, int value) noexcept {
    return {.arg = argument,
            .op = SCMP_CMP_MASKED_EQ,
            .datum_a = 0xffffffffU,
            .datum_b = static_cast<std::uint32_t>(value)};
}

scmp_arg_cmp is_without(unsigned argument, std::uint64_t bits) noexcept {
    return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = bits, .datum_b = 0};
}

void allow(const Filter& filter, int call, std::initializer_list<scmp_arg_cmp> conditions = {}) {
    const int result =
        seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call,
                               static_cast<unsigned>(conditions.size()), conditions.begin());
    if (result != 0) {
        fail(result, "a rule of the system call filter");
    }
}

void allow_sockets(const Filter& filter, const Needs& needs) {
    constexpr int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    for (const int family : {AF_INET, AF_INET6}) {
        allow(filter, SCMP_SYS(socket), {is(0, family), is(1, SOCK_STREAM | flags), is(2, 0)});
        if (needs.datagrams) {
            allow(filter, SCMP_SYS(socket), {is(0, family), is(1, SOCK_DGRAM | flags), is(2, 0)});
        }
    }
    if (needs.syslog) {
        // Which of the two the daemon listens with, the C library tries.
        for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
            allow(filter, SCMP_SYS(socket), {is(0, AF_UNIX), is(1, type | SOCK_CLOEXEC), is(2, 0)});
        }
    }
    // Of what is shared with other processes, none of these changes anything. Others would: a
    // packet filter on a listening socket outlives the worker that put it there.
    for (const int option : {TCP_NODELAY, TCP_FASTOPEN_CONNECT, TCP_USER_TIMEOUT, TCP_QUICKACK}) {
        allow(filter, SCMP_SYS(setsockopt), {is(1, IPPROTO_TCP), is(2, option)});
    }
    if (needs.source) {
        allow(filter, SCMP_SYS(bind));
        allow(filter, SCMP_SYS(setsockopt), {is(1, IPPROTO_IP), is(2, IP_BIND_ADDRESS_NO_PORT)});
    }
    if (needs.interface) {
        allow(filter, SCMP_SYS(setsockopt), {is(1, SOL_SOCKET), is(2, SO_BINDTODEVICE)});
    }
    for (const int option : {SO_ERROR, SO_MEMINFO}) {
        allow(filter, SCMP_SYS(getsockopt), {is(1, SOL_SOCKET), is(2, option)});
    }
    allow(filter, SCMP_SYS(ioctl), {is(1, SIOCOUTQ)});
}

/// Without the flag that makes connections: Landlock does not see those.
void allow_sending(const Filter& filter) {
    for (const int call : {SCMP_SYS(send), SCMP_SYS(sendto), SCMP_SYS(sendmmsg)}) {
        allow(filter, call, {is_without(3, MSG_FASTOPEN)});
    }
    allow(filter, SCMP_SYS(sendmsg), {is_without(2, MSG_FASTOPEN)});
}

void allow_memory(const Filter& filter) {
    // mmap(3) makes one of the two calls. The older one, where there are both, may take its
    // arguments from memory, and always does on s390x: what would be looked at is none of them.
    constexpr int map = SCMP_SYS(mmap2) >= 0 ? SCMP_SYS(mmap2) : SCMP_SYS(mmap);
    if (seccomp_arch_native() == SCMP_ARCH_S390X) {
        allow(filter, map);
    } else {
        allow(filter, map, {is_without(2, PROT_EXEC)});
    }
    allow(filter, SCMP_SYS(mprotect), {is_without(2, PROT_EXEC)});
    // malloc(3) of glibc 2.39 names its maps if GLIBC_TUNABLES says so.
    allow(filter, SCMP_SYS(prctl), {is(0, PR_SET_VMA)});
}

} // namespace

void load_filter(const Needs& needs) {
    // What it is for a foreign architecture, SCMP_ACT_KILL, every kernel with filters has.
    const Filter filter{seccomp_init(SCMP_ACT_TRAP)};
    if (filter == nullptr) {
        fail(-ENOMEM, "the system call filter");
    }
    // What the kernel says, and not that it said something.
    if (const int result = seccomp_attr_set(filter.get(), SCMP_FLTATR_API_SYSRAWRC, 1);
        result != 0) {
        fail(result, "the system call filter's errors");
    }
    // A binary tree of numbers: for calls with conditions, and kernels without the bitmap.
    if (const int result = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
        result != 0) {
        fail(result, "the system call filter's shape");
    }
    for (const int call : unconditional) {
        allow(filter, call);
    }
    allow_sockets(filter, needs);
    allow_sending(filter);
    allow_memory(filter);
    // abort(3): to itself.
    allow(filter, SCMP_SYS(tgkill), {is(0, ::getpid())});
    if (const int result = seccomp_load(filter.get()); result != 0) {
        fail(result, "seccomp");
    }
}

} // namespace dotproxy::sandbox
