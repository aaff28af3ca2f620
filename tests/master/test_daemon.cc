// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/daemon.hh"

#include "master/child.hh"
#include "unit.hh"

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
        const PidFile file{path};
    } catch (const std::runtime_error& problem) {
        return problem.what();
    }
    return "";
}

void test_pid_file_then_there_as_long_as_the_object(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    const mode_t old = ::umask(077);
    {
        const PidFile file{place.file};
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
        const PidFile file{place.file};
        assert_string_equal(read_file(place.file).c_str(), own_line().c_str());
    }
}

void test_pid_file_when_that_process_runs_then_refused_and_left(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    const pid_t child = ::fork();
    if (child == 0) {
        for (;;) {
            ::pause();
        }
    }
    const std::string text = std::to_string(child) + "\n";
    const bool written = write_file(place.file, text);
    const std::string why = refusal(place.file);
    ::kill(child, SIGKILL);
    assert_int_equal(::waitpid(child, nullptr, 0), child);
    assert_true(written);
    assert_non_null(std::strstr(why.c_str(), place.file.c_str()));
    assert_non_null(std::strstr(why.c_str(), "is running"));
    assert_string_equal(read_file(place.file).c_str(), text.c_str());
}

// L69: whoever can write to the directory must not have another file overwritten, nor made.
void test_pid_file_when_a_link_lies_there_then_its_target_is_untouched(void** state) {
    const Place& place = *static_cast<Place*>(*state);
    assert_true(write_file(place.other, "precious"));
    assert_int_equal(::symlink(place.other.c_str(), place.file.c_str()), 0);
    {
        const PidFile file{place.file};

        struct stat status {};

        assert_int_equal(::lstat(place.file.c_str(), &status), 0);
        assert_true(S_ISREG(status.st_mode));
        assert_string_equal(read_file(place.other).c_str(), "precious");
    }
    assert_string_equal(read_file(place.other).c_str(), "precious");
    ::unlink(place.other.c_str());
    assert_int_equal(::symlink(place.other.c_str(), place.file.c_str()), 0); // dangling
    const PidFile file{place.file};
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
        cmocka_unit_test_setup_teardown(test_pid_file_when_that_process_runs_then_refused_and_left,
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
