// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What else a process gives up when it enters, as the kernel tells it. Its filter lets it ask for
// none of this, so that another process looks.

#include "sandbox/sandbox.hh"

#include "master/child.hh"
#include "sandbox/shut_in.hh"
#include "unit.hh"

#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

using dotproxy::Fd;
using dotproxy::sandbox::enter;
using dotproxy::sandbox::hide_memory;
using dotproxy::sandbox::show_memory;
using dotproxy::test::first_failure;
using dotproxy::test::in_child;
using dotproxy::test::read_file;
using dotproxy::test::SharedTrace;
using dotproxy::test::shut_in;

namespace {

/// A process that has entered, and waits.
class Prisoner {
  public:
    Prisoner() {
        int ends[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
            return;
        }
        Fd ours{ends[0]};
        Fd theirs{ends[1]};
        pid_ = ::fork();
        char octet = 'x';
        if (pid_ == 0) {
            enter({}, *trace_);
            // Not close(2) of the other end first: this process ends by a signal.
            ::send(theirs.get(), &octet, 1, 0);
            for (;;) {
                ::recv(theirs.get(), &octet, 1, 0);
            }
        }
        theirs.reset();
        ready_ = ::recv(ours.get(), &octet, 1, 0) == 1;
    }

    Prisoner(const Prisoner&) = delete;
    Prisoner& operator=(const Prisoner&) = delete;

    ~Prisoner() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    [[nodiscard]] bool ready() const noexcept { return ready_; }

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    /// Whether a line of its status says that.
    [[nodiscard]] bool status_says(const std::string& line) const {
        return read_file("/proc/" + std::to_string(pid_) + "/status").find('\n' + line + '\n') !=
               std::string::npos;
    }

  private:
    SharedTrace trace_;
    pid_t pid_{-1};
    bool ready_{false};
};

void test_enter_then_the_kernel_says_so(void** /*state*/) {
    const Prisoner prisoner;
    assert_true(prisoner.ready());
    assert_true(prisoner.status_says("NoNewPrivs:\t1"));
    assert_true(prisoner.status_says("Seccomp:\t2"));
    rlimit core{1, 1};
    ::prlimit(prisoner.pid(), RLIMIT_CORE, nullptr, &core);
    assert_int_equal(core.rlim_cur, 0);
    assert_int_equal(core.rlim_max, 0);
}

void test_enter_then_another_process_of_the_account_cannot_read_it(void** /*state*/) {
    constexpr uid_t nobody = 65534;
    const Prisoner prisoner;
    assert_true(prisoner.ready());
    const std::string memory = "/proc/" + std::to_string(prisoner.pid()) + "/mem";
    assert_int_equal(in_child([&memory] {
                         if (::geteuid() == 0 && ::setresuid(nobody, nobody, nobody) != 0) {
                             return 1;
                         }
                         const Fd its{::open(memory.c_str(), O_RDONLY | O_CLOEXEC)};
                         return its ? 2 : 0;
                     }),
                     0);
}

void test_enter_then_what_differs_is_what_was_asked_for(void** /*state*/) {
    // Landlock has no say in sockets to syslog's kind of address, the filter has.
    assert_true(shut_in({.ports = {853}, .syslog = true}, [] {
                    return ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0;
                }).well());
    assert_true(shut_in({.ports = {853}, .syslog = false}, [] {
                    return ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0;
                }).by("socket"));
}

void test_hide_memory_then_not_dumpable(void** /*state*/) {
    assert_int_equal(in_child([] {
                         hide_memory();
                         return first_failure({::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0});
                     }),
                     0);
}

void test_show_memory_when_hidden_then_dumpable_again(void** /*state*/) {
    assert_int_equal(in_child([] {
                         hide_memory();
                         show_memory();
                         return first_failure({::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1});
                     }),
                     0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_enter_then_the_kernel_says_so),
        cmocka_unit_test(test_enter_then_another_process_of_the_account_cannot_read_it),
        cmocka_unit_test(test_enter_then_what_differs_is_what_was_asked_for),
        cmocka_unit_test(test_hide_memory_then_not_dumpable),
        cmocka_unit_test(test_show_memory_when_hidden_then_dumpable_again),
    };
    return cmocka_run_group_tests_name("sandbox/sandbox", tests, nullptr, nullptr);
}
