// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/offenders.hh"

#include "unit.hh"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <random>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using dotproxy::AddressBits;
using dotproxy::Culprit;
using dotproxy::Offence;
using dotproxy::Offender;
using dotproxy::Offenders;
using dotproxy::Prefix;
using dotproxy::SipHash;
using dotproxy::TimePoint;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint begin{1h};

Culprit culprit(std::uint64_t number, bool verified = false) {
    // All of it follows from the number, so that what is read can be held against it.
    return {.prefix = Prefix{AddressBits{.high = number, .low = ~number}, 128},
            .offence = static_cast<Offence>(number % 3),
            .verified = verified,
            .limit = static_cast<double>(number % 1000 + 1)};
}

Offenders fresh() {
    return Offenders{SipHash{SipHash::draw_key()}};
}

// limits 20
void test_note_when_noted_then_counted(void** /*state*/) {
    const Offenders memory = fresh();
    assert_true(memory.all().empty());
    for (int i = 0; i < 5; ++i) {
        static_cast<void>(memory.note(culprit(7), begin + i * 1s));
    }
    static_cast<void>(memory.note(culprit(7, true), begin));
    static_cast<void>(memory.note(culprit(8), begin));
    const auto all = memory.all();
    assert_int_equal(all.size(), 3);
    bool found = false;
    for (const Offender& one : all) {
        if (one.culprit == culprit(7)) {
            found = one.over == 5 && one.since == begin && one.last == begin + 4s;
        }
    }
    assert_true(found);
}

void test_note_when_nobody_has_told_then_to_be_told_once(void** /*state*/) {
    const Offenders memory = fresh();
    assert_false(memory.told());
    assert_true(memory.note(culprit(7), begin));
    assert_true(memory.told());
    assert_false(memory.note(culprit(7), begin));
    memory.be_told();
    assert_true(memory.note(culprit(7), begin));
}

void test_note_when_there_is_no_room_then_who_is_quiet_makes_some(void** /*state*/) {
    const Offenders memory = fresh();
    for (std::uint64_t i = 0; i < 10'000; ++i) {
        static_cast<void>(memory.note(culprit(i), begin));
    }
    assert_in_range(memory.all().size(), Offenders::capacity * 9 / 10, Offenders::capacity);
    for (std::uint64_t i = 10'000; i < 20'000; ++i) {
        static_cast<void>(memory.note(culprit(i), begin + 4s));
    }
    std::size_t later = 0;
    for (const Offender& one : memory.all()) {
        later += one.last == begin + 4s ? 1U : 0U;
        assert_true(one.over == 1);
    }
    assert_in_range(later, Offenders::capacity * 9 / 10, Offenders::capacity);
}

// limits 20: no entry is read that is half one's and half another's, whoever dies.
void test_note_when_writers_are_killed_then_entries_are_whole(void** /*state*/) {
    const Offenders memory = fresh();
    std::mt19937 random{20};
    for (int round = 0; round < 200; ++round) {
        std::vector<pid_t> writers;
        for (unsigned i = 0; i < 2; ++i) {
            const pid_t writer = ::fork();
            assert_true(writer >= 0);
            if (writer == 0) {
                TimePoint now = begin + std::chrono::hours{round};
                for (std::uint64_t number = i;; number += 3) { // nobody stays for long
                    now += 1s;
                    static_cast<void>(memory.note(culprit(number), now));
                }
            }
            writers.push_back(writer);
        }
        std::this_thread::sleep_for(std::chrono::microseconds{random() % 2000});
        for (const pid_t writer : writers) {
            ::kill(writer, SIGKILL);
            int status = 0;
            assert_int_equal(::waitpid(writer, &status, 0), writer);
        }
        for (const Offender& one : memory.all()) {
            assert_true(one.culprit == culprit(one.culprit.prefix.bits().high));
        }
        // What somebody left unfinished is nobody's obstacle.
        const Culprit next = culprit(1'000'000'000 + static_cast<std::uint64_t>(round));
        static_cast<void>(memory.note(next, begin + std::chrono::hours{100'000 + round}));
        bool found = false;
        for (const Offender& one : memory.all()) {
            found = found || one.culprit == next;
        }
        assert_true(found);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_note_when_noted_then_counted),
        cmocka_unit_test(test_note_when_nobody_has_told_then_to_be_told_once),
        cmocka_unit_test(test_note_when_there_is_no_room_then_who_is_quiet_makes_some),
        cmocka_unit_test(test_note_when_writers_are_killed_then_entries_are_whole),
    };
    return cmocka_run_group_tests_name("shared/offenders", tests, nullptr, nullptr);
}
