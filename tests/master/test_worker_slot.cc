// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Wait statuses are built as wait(2) has them on Linux: the exit status in the second octet, the
// signal in the first.

#include "master/worker_slot.hh"

#include "sandbox/call.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <csignal>
#include <linux/audit.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using dotproxy::Clock;
using dotproxy::describe_end;
using dotproxy::exit_failed;
using dotproxy::exit_hopeless;
using dotproxy::Fd;
using dotproxy::Milliseconds;
using dotproxy::Order;
using dotproxy::Report;
using dotproxy::restart_reason;
using dotproxy::RestartReason;
using dotproxy::TimePoint;
using dotproxy::WorkerSlot;
using dotproxy::sandbox::pack_call;
using State = dotproxy::WorkerSlot::State;

namespace {

constexpr TimePoint start{24h};
constexpr pid_t some_pid = 4711;

constexpr int exited(int status) noexcept {
    return status << 8;
}

/// A life of `span` that ends in a crash; returns when it ended.
TimePoint live(WorkerSlot& slot, TimePoint from, Clock::duration span, bool ready) {
    slot.born(some_pid, Fd{}, from);
    if (ready) {
        slot.heard(Report::ready);
    }
    slot.died(SIGSEGV, from + span);
    return from + span;
}

void test_new_then_a_worker_may_be_started_at_once(void** /*state*/) {
    const WorkerSlot slot{3};
    assert_int_equal(slot.index(), 3);
    assert_true(slot.state() == State::empty);
    assert_false(slot.alive());
    assert_true(slot.respawn_at() <= start);
}

void test_life_then_each_state_in_turn(void** /*state*/) {
    WorkerSlot slot{0};
    slot.born(some_pid, Fd{}, start);
    assert_true(slot.state() == State::starting);
    assert_true(slot.alive());
    assert_int_equal(slot.pid(), some_pid);
    slot.heard(Report::alive); // no substitute for READY
    assert_true(slot.state() == State::starting);
    slot.heard(Report::ready);
    assert_true(slot.state() == State::ready);
    slot.ping();
    slot.ping();
    assert_int_equal(slot.unanswered(), 2);
    slot.heard(Report::alive);
    assert_true(slot.state() == State::ready);
    assert_int_equal(slot.unanswered(), 0);
    slot.died(exited(0), start + 4s);
    assert_true(slot.state() == State::empty);
    assert_false(slot.alive());
}

// L60: the first crash of a worker that had served costs no time, then it doubles, up to 30 s.
void test_died_when_it_was_ready_then_the_pause_doubles(void** /*state*/) {
    WorkerSlot slot{0};
    TimePoint now = live(slot, start, 1s, true);
    assert_true(slot.respawn_at() == now);
    Milliseconds pause = 100ms;
    for (int crash = 2; crash < 40; ++crash) {
        now = live(slot, slot.respawn_at(), 1s, true);
        assert_true(slot.respawn_at() == now + pause);
        pause = std::min<Milliseconds>(pause * 2, 30s);
    }
    assert_true(pause == 30s);
}

void test_died_when_it_was_never_ready_then_it_counts_double(void** /*state*/) {
    WorkerSlot slot{0};
    for (const Milliseconds pause : {100ms, 400ms, 1600ms, 6400ms, 25600ms, 30000ms, 30000ms}) {
        const TimePoint now = live(slot, slot.respawn_at() + 24h, 1ms, false);
        assert_true(slot.respawn_at() == now + pause);
    }
}

void test_died_when_it_had_served_a_minute_then_its_past_is_forgotten(void** /*state*/) {
    WorkerSlot slot{0};
    TimePoint now = start;
    for (int crash = 0; crash < 5; ++crash) {
        now = live(slot, now, 1s, true);
    }
    now = live(slot, now, 59'999ms, true);
    assert_true(slot.respawn_at() > now);
    now = live(slot, now, 60s, true);
    assert_true(slot.respawn_at() == now);
}

// A worker that hangs before it is ready has not proved anything by living long.
void test_died_when_it_lived_long_but_never_ready_then_nothing_is_forgotten(void** /*state*/) {
    WorkerSlot slot{0};
    TimePoint now = live(slot, start, 1s, false);
    now = live(slot, now, 120s, false);
    assert_true(slot.respawn_at() == now + 400ms);
}

// What the kernel does to whoever takes its memory, an administrator can do as well, and so can we.
void test_died_when_killed_then_whether_by_somebody_else(void** /*state*/) {
    struct Row {
        int status;
        int sent; // 0: nothing
        bool by_others;
    };

    for (const Row& row :
         {Row{SIGKILL, 0, true}, Row{SIGKILL, SIGTERM, true}, Row{SIGKILL, SIGKILL, false},
          Row{SIGSEGV, 0, false}, Row{exited(0), 0, false}, Row{exited(exit_hopeless), 0, false}}) {
        const pid_t child = ::fork();
        if (child == 0) {
            ::signal(SIGTERM, SIG_IGN);
            ::pause();
            ::_exit(0);
        }
        WorkerSlot slot{0};
        slot.born(child, Fd{}, start);
        assert_false(slot.killed_by_others());
        slot.kill(row.sent);
        slot.died(row.status, start + 1s);
        assert_int_equal(slot.killed_by_others(), row.by_others);
        slot.born(child, Fd{}, start + 2s);
        assert_false(slot.killed_by_others());
        slot.died(SIGKILL, start + 3s); // what was sent, was to the one before
        assert_true(slot.killed_by_others());
        ::kill(child, SIGKILL);
        assert_int_equal(::waitpid(child, nullptr, 0), child);
    }
}

// Three pings; READY first, since who has not said it takes nothing.
void test_responds_when_ready_and_pings_are_answered_then_so(void** /*state*/) {
    WorkerSlot slot{0};
    assert_false(slot.responds());
    slot.born(some_pid, Fd{}, start);
    assert_false(slot.responds());
    slot.heard(Report::ready);
    assert_true(slot.responds());
    slot.ping();
    slot.ping();
    assert_true(slot.responds());
    slot.ping();
    assert_false(slot.responds());
    assert_true(slot.hangs());
    slot.heard(Report::alive);
    assert_true(slot.responds());
    slot.died(SIGSEGV, start + 1s);
    assert_false(slot.responds());
}

// The master ends by SIGKILL who hangs; without that, somebody else did.
void test_crashes_when_it_died_by_itself_or_hung_then_counted(void** /*state*/) {
    WorkerSlot slot{0};
    TimePoint now = live(slot, start, 1s, true);
    assert_int_equal(slot.crashes(), 1);
    slot.born(some_pid, Fd{}, now);
    slot.died(SIGKILL, now);
    assert_int_equal(slot.crashes(), 1);
    slot.born(some_pid, Fd{}, now);
    slot.died(exited(exit_failed), now);
    assert_int_equal(slot.crashes(), 1);
    slot.born(some_pid, Fd{}, now);
    for (int ping = 0; ping < 3; ++ping) {
        slot.ping();
    }
    slot.died(SIGKILL, now);
    assert_int_equal(slot.crashes(), 2);
    now = live(slot, now, 60s, true);
    assert_int_equal(slot.crashes(), 1);
}

void test_not_born_then_later_and_later(void** /*state*/) {
    WorkerSlot slot{0};
    slot.not_born(start);
    assert_true(slot.state() == State::empty);
    assert_true(slot.respawn_at() == start + 100ms);
    slot.not_born(start + 1s);
    assert_true(slot.respawn_at() == start + 1400ms);
}

void test_died_when_it_says_hopeless_then_it_is_the_end(void** /*state*/) {
    WorkerSlot slot{0};
    slot.born(some_pid, Fd{}, start);
    slot.died(exited(exit_hopeless), start);
    assert_true(slot.state() == State::hopeless);
    assert_false(slot.alive());
}

// A signal whose number is the same says nothing of the kind.
void test_died_when_another_status_then_another_may_be_started(void** /*state*/) {
    for (const int status : {exited(exit_failed), exited(0), exit_hopeless & 0x7f}) {
        WorkerSlot slot{0};
        slot.born(some_pid, Fd{}, start);
        slot.died(status, start);
        assert_true(slot.state() == State::empty);
    }
}

void test_tell_then_the_order_arrives_as_one_octet(void** /*state*/) {
    std::array<int, 2> ends{-1, -1};
    assert_int_equal(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    const Fd worker{ends[1]};
    WorkerSlot slot{0};
    slot.born(some_pid, Fd{ends[0]}, start);
    assert_int_equal(slot.control(), ends[0]);
    slot.tell(Order::hand_over);
    slot.tell(Order::ping);
    std::array<char, 4> got{};
    assert_int_equal(::recv(worker.get(), got.data(), got.size(), MSG_DONTWAIT), 1);
    assert_int_equal(got[0], 'H');
    assert_int_equal(::recv(worker.get(), got.data(), got.size(), MSG_DONTWAIT), 1);
    assert_int_equal(got[0], 'P');
    slot.died(SIGKILL, start);
    assert_int_equal(slot.control(), -1);
    assert_int_equal(::recv(worker.get(), got.data(), got.size(), MSG_DONTWAIT), 0); // the end
}

void test_tell_when_the_worker_is_gone_then_no_signal(void** /*state*/) {
    std::array<int, 2> ends{-1, -1};
    assert_int_equal(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    WorkerSlot slot{0};
    slot.born(some_pid, Fd{ends[0]}, start);
    Fd{ends[1]}.reset();
    slot.tell(Order::finish); // SIGPIPE would end the test (L49)
    assert_true(slot.alive());
}

void test_kill_then_its_process_gets_the_signal(void** /*state*/) {
    WorkerSlot slot{0};
    slot.kill(SIGKILL); // nobody there: not kill(0), which is the whole group
    const pid_t child = ::fork();
    if (child == 0) {
        for (;;) {
            ::pause();
        }
    }
    slot.born(child, Fd{}, start);
    slot.kill(SIGKILL);
    int status = 0;
    assert_int_equal(::waitpid(child, &status, 0), child);
    assert_string_equal(describe_end(status, 0).c_str(), "was killed by signal 9 (Killed)");
}

void test_describe_end_when_it_exited_then_its_status(void** /*state*/) {
    assert_string_equal(describe_end(exited(0), 0).c_str(), "exited with status 0");
    assert_string_equal(describe_end(exited(78), 0).c_str(), "exited with status 78");
}

void test_describe_end_when_it_dumped_core_then_the_signal(void** /*state*/) {
    assert_string_equal(describe_end(SIGSEGV | 0x80, 0).c_str(),
                        "was killed by signal 11 (Segmentation fault)");
}

// What a worker left behind counts only where that is how it ended.
void test_describe_end_when_its_sandbox_killed_it_then_the_call(void** /*state*/) {
    const std::uint64_t call = pack_call(AUDIT_ARCH_X86_64, 59);
    assert_string_equal(describe_end(SIGSYS, call).c_str(),
                        "called execve, which its sandbox forbids, and was killed");
    assert_string_equal(describe_end(SIGSYS, 0).c_str(),
                        "was killed by signal 31 (Bad system call)");
    assert_string_equal(describe_end(SIGKILL, call).c_str(), "was killed by signal 9 (Killed)");
    assert_string_equal(describe_end(exited(1), call).c_str(), "exited with status 1");
}

void test_restart_reason_then_what_ended_it(void** /*state*/) {
    WorkerSlot slot{0};
    slot.born(some_pid, Fd{}, start);
    slot.heard(Report::ready);
    assert_true(restart_reason(slot, exited(exit_failed), 0) == RestartReason::exit);
    assert_true(restart_reason(slot, SIGSEGV, 0) == RestartReason::signal);
    assert_true(restart_reason(slot, SIGKILL, 0) == RestartReason::signal);
    assert_true(restart_reason(slot, SIGSYS, 0) == RestartReason::signal); // from somebody else
    assert_true(restart_reason(slot, SIGSYS, pack_call(AUDIT_ARCH_X86_64, 59)) ==
                RestartReason::sandbox);
    while (!slot.hangs()) {
        slot.ping();
    }
    assert_true(restart_reason(slot, SIGKILL, 0) == RestartReason::hang);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_new_then_a_worker_may_be_started_at_once),
        cmocka_unit_test(test_life_then_each_state_in_turn),
        cmocka_unit_test(test_died_when_it_was_ready_then_the_pause_doubles),
        cmocka_unit_test(test_died_when_it_was_never_ready_then_it_counts_double),
        cmocka_unit_test(test_died_when_it_had_served_a_minute_then_its_past_is_forgotten),
        cmocka_unit_test(test_died_when_it_lived_long_but_never_ready_then_nothing_is_forgotten),
        cmocka_unit_test(test_died_when_killed_then_whether_by_somebody_else),
        cmocka_unit_test(test_responds_when_ready_and_pings_are_answered_then_so),
        cmocka_unit_test(test_crashes_when_it_died_by_itself_or_hung_then_counted),
        cmocka_unit_test(test_not_born_then_later_and_later),
        cmocka_unit_test(test_died_when_it_says_hopeless_then_it_is_the_end),
        cmocka_unit_test(test_died_when_another_status_then_another_may_be_started),
        cmocka_unit_test(test_tell_then_the_order_arrives_as_one_octet),
        cmocka_unit_test(test_tell_when_the_worker_is_gone_then_no_signal),
        cmocka_unit_test(test_kill_then_its_process_gets_the_signal),
        cmocka_unit_test(test_restart_reason_then_what_ended_it),
        cmocka_unit_test(test_describe_end_when_it_exited_then_its_status),
        cmocka_unit_test(test_describe_end_when_it_dumped_core_then_the_signal),
        cmocka_unit_test(test_describe_end_when_its_sandbox_killed_it_then_the_call),
    };
    return cmocka_run_group_tests_name("master/worker_slot", tests, nullptr, nullptr);
}
