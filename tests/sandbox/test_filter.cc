// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the filter forbids, each call made by a process of its own that dies of it, and what it lets
// through. Landlock is on top of it here as in a worker, but acts only where a call was let
// through.

#include "sandbox/filter.hh"

#include "base/receive_queue.hh"

#include "sandbox/shut_in.hh"
#include "unit.hh"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <seccomp.h>
#include <string>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <vector>

#include <linux/sockios.h>

using dotproxy::sandbox::Needs;
using dotproxy::test::Ending;
using dotproxy::test::shut_in;

namespace {

const Needs with_syslog{.ports = {}, .syslog = true};

/// Who makes this call dies of it, and its name is known. An architecture may not have it.
template <class... Arguments>
void assert_dies_of(const char* name, Arguments... arguments) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number < 0) {
        return;
    }
    const Ending ending = shut_in([=] {
        ::syscall(number, arguments...);
        return true;
    });
    assert_string_equal(ending.call.c_str(), name);
    assert_true(ending.by(SIGSYS));
}

void test_file_when_opened_then_dies(void** /*state*/) {
    assert_dies_of("open", "/etc/passwd", O_RDONLY, 0);
    assert_dies_of("openat", AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
    assert_dies_of("openat2", AT_FDCWD, "/etc/passwd", nullptr, 0);
    assert_dies_of("open_by_handle_at", AT_FDCWD, nullptr, 0);
    assert_dies_of("creat", "/tmp/x", 0600);
    assert_dies_of("memfd_create", "x", 0);
}

void test_file_when_looked_at_or_changed_then_dies(void** /*state*/) {
    assert_dies_of("readlink", "/proc/self/exe", nullptr, 0);
    assert_dies_of("stat", "/etc/passwd", nullptr);
    assert_dies_of("newfstatat", AT_FDCWD, "/etc/passwd", nullptr, 0);
    assert_dies_of("statx", AT_FDCWD, "/etc/passwd", 0, 0, nullptr);
    assert_dies_of("unlink", "/nowhere/at/all");
    assert_dies_of("renameat2", AT_FDCWD, "/nowhere/at/all", AT_FDCWD, "/nowhere/else", 0);
    assert_dies_of("fchmod", 2, 0600);
    assert_dies_of("ftruncate", 2, 0);
    assert_dies_of("chdir", "/");
    assert_dies_of("chroot", "/");
    assert_dies_of("mount", nullptr, nullptr, nullptr, 0, nullptr);
}

void test_program_when_executed_then_dies(void** /*state*/) {
    assert_dies_of("execve", "/bin/true", nullptr, nullptr);
    assert_dies_of("execveat", AT_FDCWD, "/bin/true", nullptr, nullptr, 0);
}

void test_process_when_made_then_dies(void** /*state*/) {
    assert_dies_of("fork");
    assert_dies_of("vfork");
    assert_dies_of("clone", SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    assert_dies_of("clone3", nullptr, 0);
    // glibc 2.41 blocks all signals first, so that there is no name to be had.
    assert_true(shut_in([] { return ::fork() >= 0; }).by(SIGSYS));
}

void test_other_process_when_touched_then_dies(void** /*state*/) {
    const pid_t parent = ::getpid();
    assert_dies_of("kill", parent, 0);
    assert_dies_of("kill", 0, 0);
    assert_dies_of("tkill", parent, 0);
    assert_dies_of("tgkill", parent, parent, 0);
    assert_dies_of("rt_sigqueueinfo", parent, 0, nullptr);
    assert_dies_of("pidfd_open", parent, 0);
    assert_dies_of("ptrace", PTRACE_TRACEME, 0, nullptr, nullptr);
    assert_dies_of("process_vm_readv", parent, nullptr, 0, nullptr, 0, 0);
    assert_dies_of("process_vm_writev", parent, nullptr, 0, nullptr, 0, 0);
    assert_dies_of("prlimit64", parent, RLIMIT_CORE, nullptr, nullptr);
}

void test_socket_when_asked_with_in_the_clear_then_made(void** /*state*/) {
    constexpr int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    assert_true(shut_in({.ports = {}, .datagrams = true, .syslog = false}, [] {
                    return ::socket(AF_INET, SOCK_DGRAM | flags, 0) >= 0 &&
                           (::socket(AF_INET6, SOCK_DGRAM | flags, 0) >= 0 ||
                            errno == EAFNOSUPPORT);
                }).well());
}

void test_way_out_when_configured_then_chosen(void** /*state*/) {
    constexpr int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    const auto bind_one = [] {
        const int socket = ::socket(AF_INET, SOCK_STREAM | flags, 0);
        const sockaddr_in address{.sin_family = AF_INET,
                                  .sin_port = 0,
                                  .sin_addr = {htonl(INADDR_LOOPBACK)},
                                  .sin_zero = {}};
        const int on = 1;
        return ::setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0 &&
               ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    };
    const auto bind_to_interface = [] {
        const int socket = ::socket(AF_INET, SOCK_STREAM | flags, 0);
        return ::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) == 0;
    };
    assert_true(shut_in({.ports = {}, .source = true}, bind_one).well());
    assert_true(shut_in({.ports = {}, .interface = true}, bind_to_interface).well());
    assert_true(shut_in({.ports = {}, .interface = true}, bind_one).by(SIGSYS));
    assert_true(shut_in({.ports = {}, .source = true}, bind_to_interface).by(SIGSYS));
}

void test_socket_when_of_another_kind_then_dies(void** /*state*/) {
    constexpr int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    assert_dies_of("socket", AF_PACKET, SOCK_RAW | flags, 0);
    assert_dies_of("socket", AF_NETLINK, SOCK_RAW | flags, 0);
    assert_dies_of("socket", AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_dies_of("socket", AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_dies_of("socket", AF_INET, SOCK_DGRAM | flags, 0);
    assert_dies_of("socket", AF_INET, SOCK_RAW | flags, 0);
    assert_dies_of("socket", AF_INET, SOCK_STREAM, 0);
    assert_dies_of("socket", AF_INET6, SOCK_STREAM | flags, IPPROTO_SCTP);
    assert_dies_of("socketpair", AF_UNIX, SOCK_STREAM, 0, nullptr);
    assert_dies_of("bind", 0, nullptr, 0);
    assert_dies_of("listen", 0, 0);
    assert_dies_of("shutdown", 0, 0);
}

// Landlock asks connect(2) for the port, and nothing asks these.
void test_connection_when_made_by_sending_then_dies(void** /*state*/) {
    const int flags = MSG_NOSIGNAL | MSG_FASTOPEN;
    assert_dies_of("send", -1, nullptr, 0, flags);
    assert_dies_of("sendto", -1, nullptr, 0, flags, nullptr, 0);
    assert_dies_of("sendmsg", -1, nullptr, flags);
    assert_dies_of("sendmmsg", -1, nullptr, 0, flags);
}

void test_sending_when_it_makes_no_connection_then_well(void** /*state*/) {
    assert_true(shut_in([] {
                    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
                    return ::send(-1, nullptr, 0, flags) == -1 && errno == EBADF &&
                           ::sendmsg(-1, nullptr, flags) == -1 && errno == EBADF &&
                           ::sendmmsg(-1, nullptr, 0, flags) == -1 && errno == EBADF;
                }).well());
}

// A packet filter on a listening socket would outlive the worker that put it there.
void test_option_when_not_ours_then_dies(void** /*state*/) {
    assert_dies_of("setsockopt", 0, SOL_SOCKET, SO_ATTACH_FILTER, nullptr, 0);
    assert_dies_of("setsockopt", 0, SOL_SOCKET, SO_BINDTODEVICE, nullptr, 0);
    assert_dies_of("setsockopt", 0, IPPROTO_IP, TCP_NODELAY, nullptr, 0);
    assert_dies_of("setsockopt", 0, IPPROTO_TCP, TCP_ULP, nullptr, 0);
    assert_dies_of("getsockopt", 0, SOL_SOCKET, SO_PEERCRED, nullptr, nullptr);
    assert_dies_of("ioctl", 0, TIOCSTI, "x");
    assert_dies_of("fcntl", 0, F_SETFL, 0);
}

void test_memory_when_executable_then_dies(void** /*state*/) {
    assert_dies_of("mmap", nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0L);
    assert_dies_of("mprotect", nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    assert_dies_of("pkey_mprotect", nullptr, 4096, PROT_EXEC, -1);
    assert_dies_of("personality", 0x0400000); // READ_IMPLIES_EXEC
}

void test_kernel_when_explored_then_dies(void** /*state*/) {
    assert_dies_of("bpf", 0, nullptr, 0);
    assert_dies_of("io_uring_setup", 1, nullptr);
    assert_dies_of("userfaultfd", 0);
    assert_dies_of("perf_event_open", nullptr, 0, -1, -1, 0);
    assert_dies_of("keyctl", 0, 0, 0, 0, 0);
    assert_dies_of("unshare", 0);
    assert_dies_of("setns", 0, 0);
    assert_dies_of("splice", 0, nullptr, 0, nullptr, 0, 0);
    assert_dies_of("landlock_create_ruleset", nullptr, 0, 1);
}

// What would undo the sandbox, or make it silent.
void test_sandbox_when_touched_then_dies(void** /*state*/) {
    assert_dies_of("seccomp", 0, 0, nullptr);
    assert_dies_of("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0);
    assert_dies_of("prctl", PR_GET_DUMPABLE, 0, 0, 0, 0);
    assert_dies_of("rt_sigaction", SIGSYS, nullptr, nullptr, 8);
    assert_dies_of("sigaltstack", nullptr, nullptr);
    assert_dies_of("setrlimit", RLIMIT_CORE, nullptr);
    assert_dies_of("setuid", 0);
    assert_dies_of("capset", nullptr, nullptr);
}

void test_forbidden_when_its_signal_is_blocked_then_dies_all_the_same(void** /*state*/) {
    const Ending ending = shut_in([] {
        sigset_t all;
        sigfillset(&all);
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
        ::syscall(SYS_getppid);
        return true;
    });
    assert_true(ending.by(SIGSYS));
}

#ifdef __x86_64__
// The numbers of i386 mean something else: 20 is getpid there, and writev here.
void test_foreign_architecture_when_called_then_dies(void** /*state*/) {
    const Ending ending = shut_in([] {
        long result = 20;
        asm volatile("int $0x80" : "+a"(result) : : "memory", "cc");
        return true;
    });
    assert_true(ending.by(SIGSYS) || ending.by(SIGSEGV)); // where the kernel has no i386 at all
}
#endif

// The handler has a stack of its own.
void test_forbidden_when_the_stack_is_gone_then_named_all_the_same(void** /*state*/) {
    const Ending ending = shut_in([] {
        const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        // Everything below this page, where a signal's frame would go.
        const std::uintptr_t page = here & ~std::uintptr_t{4095};
        constexpr std::size_t below = 16 * 4096;
        return ::syscall(SYS_munmap, page - below - 4096, below) == 0 && ::syscall(SYS_getppid) > 0;
    });
    assert_true(ending.by("getppid"));
}

// SIGSYS from somebody's kill(1) is no call.
void test_signal_when_sent_then_no_call_is_named(void** /*state*/) {
    const Ending ending = shut_in([] {
        ::syscall(SYS_tgkill, ::getpid(), ::gettid(), SIGSYS);
        return true;
    });
    assert_true(ending.by(SIGSYS));
    assert_string_equal(ending.call.c_str(), "");
}

void test_abort_when_shut_in_then_dies_of_that(void** /*state*/) {
    assert_true(shut_in([]() -> bool { std::abort(); }).by(SIGABRT));
}

void test_exception_when_nobody_catches_it_then_aborts(void** /*state*/) {
    assert_true(shut_in([]() noexcept { return std::string{}.at(1) == 0; }).by(SIGABRT));
}

void test_heap_when_it_grows_shrinks_and_moves_then_well(void** /*state*/) {
    assert_true(shut_in([] {
                    std::vector<std::string> many;
                    for (std::size_t i = 1; i < 300; ++i) {
                        many.emplace_back(i * 1000, 'x');
                        many.back().reserve(i * 3000); // realloc, mmap, brk
                    }
                    void* large = std::malloc(1U << 20U);
                    large = std::realloc(large, 64U << 20U); // mremap
                    std::free(large);
                    many.clear();
                    return large != nullptr;
                }).well());
}

int compare(const void* one, const void* other) {
    return std::memcmp(one, other, sizeof(int));
}

// qsort(3) of much asks how much memory there is.
void test_library_when_used_then_well(void** /*state*/) {
    assert_true(shut_in([] {
                    std::vector<int> numbers(100'000, 1);
                    std::qsort(numbers.data(), numbers.size(), sizeof(int), compare);
                    std::array<char, 16> random{};
                    timespec now{};
                    rusage usage{};
                    return ::getrandom(random.data(), random.size(), 0) == 16 &&
                           ::syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &now) == 0 &&
                           ::getrusage(RUSAGE_SELF, &usage) == 0;
                }).well());
}

void test_memory_when_not_executable_then_well(void** /*state*/) {
    assert_true(
        shut_in([] {
            void* memory = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            return memory != MAP_FAILED && ::mprotect(memory, 4096, PROT_READ | PROT_WRITE) == 0 &&
                   ::madvise(memory, 4096, MADV_DONTDUMP) == 0 && ::munmap(memory, 4096) == 0;
        }).well());
}

void test_socket_when_ours_then_well(void** /*state*/) {
    for (const int family : {AF_INET, AF_INET6}) {
        assert_true(shut_in([family] {
                        const int fd =
                            ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                        if (fd < 0) {
                            return errno == EAFNOSUPPORT;
                        }
                        const int one = 1;
                        int error = 0;
                        socklen_t size = sizeof error;
                        int queued = 0;
                        return ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
                               ::setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one) == 0 &&
                               ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
                               dotproxy::ReceiveQueue::of(fd).has_value() &&
                               (::ioctl(fd, SIOCOUTQ, &queued) == 0 || errno == EINVAL) &&
                               ::close(fd) == 0;
                    }).well());
    }
}

void test_loop_when_used_then_well(void** /*state*/) {
    assert_true(shut_in([] {
                    const int loop = ::epoll_create1(EPOLL_CLOEXEC);
                    epoll_event event{.events = EPOLLIN, .data = {.fd = 0}};
                    pollfd polled{.fd = loop, .events = POLLIN, .revents = 0};
                    return loop >= 0 && ::epoll_wait(loop, &event, 1, 0) == 0 &&
                           ::poll(&polled, 1, 0) == 0;
                }).well());
}

// Its socket may be gone, or be another one by now: the log must not be what a worker dies of.
void test_syslog_when_it_is_the_log_then_well(void** /*state*/) {
    assert_true(shut_in(with_syslog, [] {
                    for (int i = 0; i < 2; ++i) {
                        ::openlog("dotproxy-test", LOG_PID | LOG_NDELAY, LOG_DAEMON);
                        ::syslog(LOG_DEBUG, "written by a test of dotproxy, from its sandbox");
                        ::closelog();
                    }
                    return true;
                }).well());
    for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
        assert_true(shut_in(with_syslog, [type] {
                        return ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0) >= 0;
                    }).well());
    }
    assert_true(shut_in(with_syslog, [] {
                    return ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) >= 0;
                }).by("socket"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_file_when_opened_then_dies),
        cmocka_unit_test(test_file_when_looked_at_or_changed_then_dies),
        cmocka_unit_test(test_program_when_executed_then_dies),
        cmocka_unit_test(test_process_when_made_then_dies),
        cmocka_unit_test(test_other_process_when_touched_then_dies),
        cmocka_unit_test(test_socket_when_asked_with_in_the_clear_then_made),
        cmocka_unit_test(test_way_out_when_configured_then_chosen),
        cmocka_unit_test(test_socket_when_of_another_kind_then_dies),
        cmocka_unit_test(test_connection_when_made_by_sending_then_dies),
        cmocka_unit_test(test_sending_when_it_makes_no_connection_then_well),
        cmocka_unit_test(test_option_when_not_ours_then_dies),
        cmocka_unit_test(test_memory_when_executable_then_dies),
        cmocka_unit_test(test_kernel_when_explored_then_dies),
        cmocka_unit_test(test_sandbox_when_touched_then_dies),
        cmocka_unit_test(test_forbidden_when_its_signal_is_blocked_then_dies_all_the_same),
#ifdef __x86_64__
        cmocka_unit_test(test_foreign_architecture_when_called_then_dies),
#endif
        cmocka_unit_test(test_forbidden_when_the_stack_is_gone_then_named_all_the_same),
        cmocka_unit_test(test_signal_when_sent_then_no_call_is_named),
        cmocka_unit_test(test_abort_when_shut_in_then_dies_of_that),
        cmocka_unit_test(test_exception_when_nobody_catches_it_then_aborts),
        cmocka_unit_test(test_heap_when_it_grows_shrinks_and_moves_then_well),
        cmocka_unit_test(test_library_when_used_then_well),
        cmocka_unit_test(test_memory_when_not_executable_then_well),
        cmocka_unit_test(test_socket_when_ours_then_well),
        cmocka_unit_test(test_loop_when_used_then_well),
        cmocka_unit_test(test_syslog_when_it_is_the_log_then_well),
    };
    return cmocka_run_group_tests_name("sandbox/filter", tests, nullptr, nullptr);
}
