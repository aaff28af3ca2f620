// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/daemon.hh"

#include "master/child.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/stat.h>

using dotproxy::Background;
using dotproxy::Fd;
using dotproxy::PidFile;
using dotproxy::test::first_failure;
using dotproxy::test::in_child;
using dotproxy::test::read_file;
using dotproxy::test::write_file;

namespace {

/// A directory of its own for each test, with the path of a file in it.
struct Place {
    std::string directory;
    std::string file;
    std::string other;
};

int set_up(void** state) {
    std::array<char, 32> name{"/tmp/dotproxy-daemon-XXXXXX"};
    if (::mkdtemp(name.data()) == nullptr) {
        return -1;
    }
    auto place = std::make_unique<Place>();
    place->directory = name.data();
    place->file = place->directory + "/dotproxy.pid";
    place->other = place->directory + "/other";
    *state = place.release();
    return 0;
}

int tear_down(void** state) {
    const std::unique_ptr<Place> place{static_cast<Place*>(*state)};
    ::unlink(place->file.c_str());
    ::unlink(place->other.c_str());
    return ::rmdir(place->directory.c_str());
}

std::string own_line() {
    return std::to_string(::getpid()) + "\n";
}

/// Why it is refused; empty when it is not.
std::string refusal(const std::string& path) {
    try {
        const PidFile file{path, "pid_file"};
    } catch (const std::runtime_error& problem) {
        return problem.what();
    }
    return "";
}

void test_pid_file_then_there_as_long_as_the_object(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    const mode_t old = ::umask(077);
    {
        const PidFile file{place.file, "pid_file"};
        assert_string_equal(read_file(place.file).c_str(), own_line().c_str());

        struct stat status {};

        assert_int_equal(::stat(place.file.c_str(), &status), 0);
        assert_int_equal(status.st_mode & 07777, 0644);
    }
    ::umask(old);
    assert_int_equal(::access(place.file.c_str(), F_OK), -1);
}

void test_pid_file_when_no_path_then_nothing(void** /*state*/) {
    assert_string_equal(refusal("").c_str(), "");
}

// A process that is surely gone: it was ours and has been waited for.
void test_pid_file_when_a_stale_one_then_replaced(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(0);
    }
    assert_int_equal(::waitpid(child, nullptr, 0), child);
    for (const std::string& text : {std::to_string(child) + "\n", std::string{"no number\n"},
                                    std::string{}, own_line(), std::string{"-1\n"}}) {
        assert_true(write_file(place.file, text));
        const PidFile file{place.file, "pid_file"};
        assert_string_equal(read_file(place.file).c_str(), own_line().c_str());
    }
}

struct Pipe {
    Pipe() noexcept {
        std::array<int, 2> ends{-1, -1};
        static_cast<void>(!::pipe(ends.data()));
        reading.reset(ends[0]);
        writing.reset(ends[1]);
    }

    Fd reading;
    Fd writing;
};

/// A process of its own that has the PID file at `path`, if it is to, and waits for its end.
class Other {
  public:
    Other(const std::string& path, bool holds) {
        Pipe pipe;
        pid_ = ::fork();
        if (pid_ == 0) {
            try {
                const PidFile file{holds ? path : "", "pid_file"};
                pipe.writing.reset();
                for (;;) {
                    ::pause();
                }
            } catch (const std::runtime_error&) {
                ::_exit(1);
            }
        }
        pipe.writing.reset();
        char octet = 0;
        static_cast<void>(
            !::read(pipe.reading.get(), &octet, 1)); // the end of file: it is that far
    }

    Other(const Other&) = delete;
    Other& operator=(const Other&) = delete;

    ~Other() { end(); }

    /// Ends it as nobody can prevent; nothing is cleaned up.
    void end() noexcept {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
            pid_ = 0;
        }
    }

    [[nodiscard]] std::string line() const { return std::to_string(pid_) + "\n"; }

  private:
    pid_t pid_{0};
};

void test_pid_file_when_another_has_it_then_refused_and_left(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    std::string why;
    std::string why_again;
    bool left = false;
    {
        const Other other{place.file, true};
        why = refusal(place.file);
        why_again = refusal(place.file); // that somebody looked has not broken the lock
        left = read_file(place.file) == other.line();
    }
    assert_non_null(std::strstr(why.c_str(), place.file.c_str()));
    assert_non_null(std::strstr(why.c_str(), "is running"));
    assert_string_equal(why_again.c_str(), why.c_str());
    assert_true(left);
}

// What is left of a process that was killed, or lost with the power: its number may be that of any
// other program by now.
void test_pid_file_when_its_number_is_some_other_programs_then_replaced(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    Other other{place.file, false};
    const bool written = write_file(place.file, other.line());
    const std::string why = refusal(place.file);
    other.end();
    assert_true(written);
    assert_string_equal(why.c_str(), "");
}

void test_pid_file_when_who_had_it_was_killed_then_replaced(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    Other other{place.file, true};
    const std::string line = other.line();
    other.end();
    assert_string_equal(read_file(place.file).c_str(), line.c_str());
    const PidFile file{place.file, "pid_file"};
    assert_string_equal(read_file(place.file).c_str(), own_line().c_str());
}

// A worker outlives its master for a moment, which must not stand in the way of a new one.
void test_pid_file_when_a_child_is_left_then_the_lock_is_not(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    Pipe pipe;
    const int ended = in_child([&] {
        std::make_unique<PidFile>(place.file, "pid_file")
            .release(); // as if killed: nothing is removed
        if (::fork() == 0) {
            pipe.writing.reset();
            char octet = 0;
            ::_exit(::read(pipe.reading.get(), &octet, 1) == 0 ? 0 : 1);
        }
        return 0;
    });
    assert_int_equal(ended, 0);
    assert_int_equal(::access(place.file.c_str(), F_OK), 0);
    assert_string_equal(refusal(place.file).c_str(), "");
}

// A directory that is closed to the account that was changed to.
void test_pid_file_when_it_cannot_be_removed_then_is_emptied(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    assert_int_equal(in_child([&] {
                         auto file = std::make_unique<PidFile>(place.file, "pid_file");
                         ::chmod(place.directory.c_str(), 0555);
                         const bool closed =
                             ::geteuid() != 0 || ::setresuid(65534, 65534, 65534) == 0;
                         file.reset();
                         return first_failure({closed, ::access(place.file.c_str(), F_OK) == 0,
                                               read_file(place.file).empty()});
                     }),
                     0);
    assert_int_equal(::chmod(place.directory.c_str(), 0755), 0);
}

/// Waits for the end of file on `start`, tries to have the PID file, says whether it has, and
/// stays.
[[noreturn]] void race(const std::string& path, Pipe& start, const Pipe& said) {
    start.writing.reset();
    char octet = 0;
    static_cast<void>(!::read(start.reading.get(), &octet, 1));
    std::unique_ptr<PidFile> file;
    try {
        file = std::make_unique<PidFile>(path, "pid_file");
    } catch (const std::runtime_error&) {
        file.reset();
    }
    octet = file ? 'y' : 'n';
    static_cast<void>(!::write(said.writing.get(), &octet, 1));
    for (;;) {
        ::pause();
    }
}

// Of those who start at once, one comes through, and its number is in the file.
void test_pid_file_when_many_start_at_once_then_one_has_it(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    for (int round = 0; round < 20; ++round) {
        assert_true(write_file(place.file, "stale\n"));
        Pipe start;
        const Pipe said;
        std::array<pid_t, 6> racers{};
        for (pid_t& racer : racers) {
            racer = ::fork();
            if (racer == 0) {
                race(place.file, start, said);
            }
        }
        start.writing.reset();
        std::string verdicts(racers.size(), '?');
        for (char& verdict : verdicts) {
            static_cast<void>(!::read(said.reading.get(), &verdict, 1));
        }
        const std::string line = read_file(place.file);
        bool named = false;
        for (const pid_t racer : racers) {
            named = named || line == std::to_string(racer) + "\n";
            ::kill(racer, SIGKILL);
            ::waitpid(racer, nullptr, 0);
        }
        assert_int_equal(std::count(verdicts.begin(), verdicts.end(), 'y'), 1);
        assert_int_equal(std::count(verdicts.begin(), verdicts.end(), 'n'), racers.size() - 1);
        assert_true(named);
    }
}

// L69: whoever can write to the directory must not have another file overwritten, nor made.
void test_pid_file_when_a_link_lies_there_then_its_target_is_untouched(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    assert_true(write_file(place.other, "precious"));
    assert_int_equal(::symlink(place.other.c_str(), place.file.c_str()), 0);
    {
        const PidFile file{place.file, "pid_file"};

        struct stat status {};

        assert_int_equal(::lstat(place.file.c_str(), &status), 0);
        assert_true(S_ISREG(status.st_mode));
        assert_string_equal(read_file(place.other).c_str(), "precious");
    }
    assert_string_equal(read_file(place.other).c_str(), "precious");
    ::unlink(place.other.c_str());
    assert_int_equal(::symlink(place.other.c_str(), place.file.c_str()), 0); // dangling
    const PidFile file{place.file, "pid_file"};
    assert_int_equal(::access(place.other.c_str(), F_OK), -1);
}

void test_pid_file_when_no_place_for_it_then_refused(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    const std::string inside = place.directory + "/nowhere/dotproxy.pid";
    assert_non_null(std::strstr(refusal(inside).c_str(), "No such file or directory"));
    assert_true(refusal(place.directory).size() > place.directory.size()); // a directory
}

/// Runs `rest` in the background process of a starter, and returns the starter's exit status.
/// The background process becomes a child of this one when its starter has ended.
template <class Rest>
int start_in_background(Rest rest) {
    assert_int_equal(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    return in_child([&rest] {
        Background background = Background::enter();
        rest(background);
        return 99; // not the starter's status but the background process's
    });
}

/// The exit status of the background process, once it is an orphan of ours.
int background_status() {
    int status = -1;
    for (;;) {
        int one = 0;
        const pid_t pid = ::waitpid(-1, &one, 0);
        if (pid < 0) {
            return status;
        }
        if (WIFEXITED(one) && WEXITSTATUS(one) != 0) {
            status = WEXITSTATUS(one);
        }
    }
}

void test_enter_when_ready_then_the_starter_ends_well(void** /*state*/) {
    assert_int_equal(start_in_background([](Background& background) {
                         if (!background.entered() || ::getsid(0) == ::getpid()) {
                             ::_exit(98);
                         }
                         background.ready();
                     }),
                     0);
    assert_int_equal(background_status(), 99);
}

void test_enter_when_never_ready_then_the_starter_fails(void** /*state*/) {
    assert_int_equal(start_in_background([](Background&) { ::_exit(97); }), 1);
    assert_int_equal(background_status(), 97);
}

void test_ready_then_the_terminal_is_let_go(void** /*state*/) {
    std::array<int, 2> pipe{-1, -1};
    assert_int_equal(::pipe(pipe.data()), 0);
    Fd reading{pipe[0]};
    Fd writing{pipe[1]};
    assert_int_equal(start_in_background([&](Background& background) {
                         ::dup2(writing.get(), STDOUT_FILENO);
                         background.ready();
                         ::_exit(::write(STDOUT_FILENO, "lost", 4) == 4 ? 96 : 95);
                     }),
                     0);
    assert_int_equal(background_status(), 96);
    writing.reset();
    char octet = 0;
    assert_int_equal(::read(reading.get(), &octet, 1), 0);
}

void test_ready_when_in_the_foreground_then_nothing_happens(void** /*state*/) {
    Background background;
    assert_false(background.entered());

    struct stat before {};

    struct stat after {};

    assert_int_equal(::fstat(STDIN_FILENO, &before), 0);
    background.ready();
    assert_int_equal(::fstat(STDIN_FILENO, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_dev, after.st_dev);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pid_file_then_there_as_long_as_the_object, set_up,
                                        tear_down),
        cmocka_unit_test(test_pid_file_when_no_path_then_nothing),
        cmocka_unit_test_setup_teardown(test_pid_file_when_a_stale_one_then_replaced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_pid_file_when_another_has_it_then_refused_and_left,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_pid_file_when_its_number_is_some_other_programs_then_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pid_file_when_who_had_it_was_killed_then_replaced,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pid_file_when_a_child_is_left_then_the_lock_is_not,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pid_file_when_it_cannot_be_removed_then_is_emptied,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pid_file_when_many_start_at_once_then_one_has_it,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_pid_file_when_a_link_lies_there_then_its_target_is_untouched, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pid_file_when_no_place_for_it_then_refused, set_up,
                                        tear_down),
        cmocka_unit_test(test_enter_when_ready_then_the_starter_ends_well),
        cmocka_unit_test(test_enter_when_never_ready_then_the_starter_fails),
        cmocka_unit_test(test_ready_then_the_terminal_is_let_go),
        cmocka_unit_test(test_ready_when_in_the_foreground_then_nothing_happens),
    };
    return cmocka_run_group_tests_name("master/daemon", tests, nullptr, nullptr);
}
