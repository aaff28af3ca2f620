// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/log.hh"

#include "unit.hh"

#include "base/fd.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace log = dotproxy::log;
using dotproxy::Fd;
using dotproxy::Milliseconds;
using dotproxy::TimePoint;
using log::Level;
using log::Target;

namespace {

/// Sends the standard error output to a pipe while it lives.
class Capture {
  public:
    explicit Capture(int flags = O_NONBLOCK) : stderr_{::dup(STDERR_FILENO)} {
        std::array<int, 2> fds{-1, -1};
        assert_int_equal(::pipe2(fds.data(), O_CLOEXEC | flags), 0);
        read_end_.reset(fds[0]);
        assert_int_equal(::dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        ::close(fds[1]);
    }

    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    ~Capture() { ::dup2(stderr_.get(), STDERR_FILENO); }

    /// What was written since the last call.
    std::string take() {
        std::array<char, 8192> text{};
        const ssize_t size = ::read(read_end_.get(), text.data(), text.size());
        return {text.data(), static_cast<std::size_t>(size > 0 ? size : 0)};
    }

  private:
    Fd stderr_;
    Fd read_end_;
};

/// Calls `speak` and returns what it wrote. The asserts come after, when nothing is captured.
template <class Speak>
std::string captured(Speak speak) {
    Capture capture;
    speak(capture);
    return capture.take();
}

std::string captured_plain(Level level, const char* text) {
    return captured([&](Capture&) {
        log::open(Target::standard_error, Level::debug, true);
        log::write(level, "%s", text);
    });
}

int prepare(void** /*state*/) {
    log::set_role("");
    return ::unsetenv("JOURNAL_STREAM");
}

void test_write_when_plain_then_name_role_word_and_text(void** /*state*/) {
    assert_string_equal(captured_plain(Level::notice, "ready").c_str(), "dotproxy: ready\n");
    log::set_role("worker 1");
    assert_string_equal(captured_plain(Level::notice, "ready").c_str(),
                        "dotproxy: worker 1: ready\n");
    assert_string_equal(captured_plain(Level::info, "ready").c_str(),
                        "dotproxy: worker 1: ready\n");
    assert_string_equal(captured_plain(Level::error, "no").c_str(),
                        "dotproxy: worker 1: error: no\n");
    assert_string_equal(captured_plain(Level::warning, "no").c_str(),
                        "dotproxy: worker 1: warning: no\n");
    assert_string_equal(captured_plain(Level::debug, "so").c_str(),
                        "dotproxy: worker 1: debug: so\n");
}

void test_write_when_below_the_level_then_nothing(void** /*state*/) {
    const std::string text = captured([](Capture&) {
        log::open(Target::standard_error, Level::warning, true);
        log::write(Level::notice, "unseen");
        log::write(Level::warning, "seen");
    });
    assert_string_equal(text.c_str(), "dotproxy: warning: seen\n");
    assert_true(log::enabled(Level::error));
    assert_true(log::enabled(Level::warning));
    assert_false(log::enabled(Level::notice));
}

// L11: nothing from outside can begin a line, move the cursor or hide the rest.
void test_write_when_control_characters_then_escaped(void** /*state*/) {
    assert_string_equal(captured_plain(Level::notice, "a\nb\x1b[2J\x7f\xff\"\\ {").c_str(),
                        "dotproxy: a\\010b\\027[2J\\127\\255\"\\ {\n");
}

void test_write_when_too_long_then_one_bounded_line_with_dots(void** /*state*/) {
    for (const std::string& text : {std::string(5000, 'x'), std::string(900, '\n')}) {
        const std::string line = captured_plain(Level::notice, text.c_str());
        assert_int_equal(line.size(), 1024);
        assert_int_equal(line.find('\n'), 1023);
        assert_string_equal(line.substr(1020).c_str(), "...\n");
    }
}

void test_write_when_it_fails_then_errno_is_kept_all_the_same(void** /*state*/) {
    int after = 0;
    const std::string text = captured([&](Capture&) {
        log::open(Target::standard_error, Level::notice, true);
        ::close(STDERR_FILENO);
        errno = ENOENT;
        log::write(Level::notice, "lost");
        after = errno;
    });
    assert_string_equal(text.c_str(), "");
    assert_int_equal(after, ENOENT);
}

void name_stderr_as_journal(unsigned long long inode_offset) {
    struct stat file {};

    assert_int_equal(::fstat(STDERR_FILENO, &file), 0);
    const std::string stream = std::to_string(static_cast<unsigned long long>(file.st_dev)) + ':' +
                               std::to_string(file.st_ino + inode_offset);
    assert_int_equal(::setenv("JOURNAL_STREAM", stream.c_str(), 1), 0);
}

// A worker that waits for the reader of its log answers nobody, and is killed for it.
void test_write_when_nobody_reads_then_lost_and_counted_and_not_waited_for(void** /*state*/) {
    std::string full;
    std::string after;
    {
        Capture capture{0};
        log::open(Target::standard_error, Level::debug, true);
        ::alarm(60); // what waits after all ends here
        for (int i = 0; i < 200; ++i) {
            log::write(Level::notice, "%s", std::string(900, 'x').c_str());
        }
        ::alarm(0);
        for (std::string some = capture.take(); !some.empty();) {
            full += some;
            some = some.size() == 8192 ? capture.take() : "";
        }
        log::write(Level::notice, "again");
        after = capture.take();
    }
    const auto written = static_cast<std::size_t>(std::count(full.begin(), full.end(), '\n'));
    assert_in_range(written, 10, 190);
    const std::string wanted =
        "dotproxy: again (" + std::to_string(200 - written) + " lines before this one lost)\n";
    assert_string_equal(after.c_str(), wanted.c_str());
}

void test_write_when_stderr_is_the_journal_then_priority_and_no_name(void** /*state*/) {
    log::set_role("master");
    const std::string text = captured([](Capture&) {
        name_stderr_as_journal(0);
        log::open(Target::automatic, Level::debug, true);
        log::write(Level::error, "one");
        log::write(Level::warning, "two");
        log::write(Level::notice, "three");
        log::write(Level::info, "four");
        log::write(Level::debug, "five");
    });
    assert_string_equal(text.c_str(), "<3>master: one\n<4>master: two\n<5>master: three\n"
                                      "<6>master: four\n<7>master: five\n");
}

// systemd.exec(5): the variable is inherited by those whose output was sent elsewhere.
void test_write_when_journal_is_another_file_then_plain(void** /*state*/) {
    const std::string text = captured([](Capture&) {
        name_stderr_as_journal(1);
        log::open(Target::automatic, Level::notice, true);
        log::write(Level::notice, "ready");
    });
    assert_string_equal(text.c_str(), "dotproxy: ready\n");
}

// As compilers do, so that editors find their way to the place.
void test_complain_then_no_role_and_no_word(void** /*state*/) {
    log::set_role("master");
    const std::string text = captured([](Capture&) { log::complain("a.conf:3: \x1bwhat"); });
    assert_string_equal(text.c_str(), "dotproxy: a.conf:3: \\027what\n");
}

void test_complain_when_stderr_is_the_journal_then_an_error(void** /*state*/) {
    const std::string text = captured([](Capture&) {
        name_stderr_as_journal(0);
        log::complain("a.conf:3: what");
    });
    assert_string_equal(text.c_str(), "<3>a.conf:3: what\n");
}

void test_open_when_automatic_in_the_background_then_not_stderr(void** /*state*/) {
    const std::string text = captured([](Capture&) {
        log::open(Target::automatic, Level::notice, false);
        log::write(Level::notice, "the test suite of dotproxy says hello to syslog");
    });
    assert_string_equal(text.c_str(), "");
}

constexpr TimePoint start{Milliseconds{1000}};

void test_limiter_when_burst_is_used_up_then_one_each_interval(void** /*state*/) {
    log::Limiter limiter{2, Milliseconds{100}};
    assert_true(limiter.allow(start));
    assert_true(limiter.allow(start));
    assert_false(limiter.allow(start));
    assert_false(limiter.allow(start + Milliseconds{99}));
    assert_true(limiter.allow(start + Milliseconds{100}));
    assert_false(limiter.allow(start + Milliseconds{199}));
    assert_true(limiter.allow(start + Milliseconds{200}));
}

void test_limiter_when_quiet_then_no_more_than_the_burst_gathers(void** /*state*/) {
    log::Limiter limiter{2, Milliseconds{100}};
    assert_true(limiter.allow(start));
    const TimePoint later = start + std::chrono::hours{24};
    assert_true(limiter.allow(later));
    assert_true(limiter.allow(later));
    assert_false(limiter.allow(later));
    assert_false(limiter.allow(later + Milliseconds{99}));
    assert_true(limiter.allow(later + Milliseconds{100}));
}

void test_take_suppressed_then_counts_from_the_last_call(void** /*state*/) {
    log::Limiter limiter{1, Milliseconds{100}};
    assert_true(limiter.allow(start));
    assert_false(limiter.allow(start));
    assert_false(limiter.allow(start));
    assert_int_equal(limiter.take_suppressed(), 2);
    assert_int_equal(limiter.take_suppressed(), 0);
}

// L71
void test_write_limited_when_lines_were_held_back_then_the_next_says_how_many(void** /*state*/) {
    const std::string text = captured([](Capture&) {
        log::open(Target::standard_error, Level::notice, true);
        log::Limiter limiter{1, Milliseconds{100}};
        for (int i = 0; i < 5; ++i) {
            log::write_limited(limiter, start, Level::notice, "line %d", i);
        }
        log::write_limited(limiter, start + Milliseconds{100}, Level::notice, "last");
        log::write_limited(limiter, start + Milliseconds{200}, Level::notice, "after");
    });
    assert_string_equal(text.c_str(),
                        "dotproxy: line 0\ndotproxy: last (4 more held back)\ndotproxy: after\n");
}

void test_write_limited_when_below_the_level_then_costs_nothing(void** /*state*/) {
    const std::string text = captured([](Capture&) {
        log::open(Target::standard_error, Level::notice, true);
        log::Limiter limiter{1, Milliseconds{100}};
        log::write_limited(limiter, start, Level::debug, "unseen");
        log::write_limited(limiter, start, Level::notice, "seen");
    });
    assert_string_equal(text.c_str(), "dotproxy: seen\n");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_write_when_plain_then_name_role_word_and_text, prepare),
        cmocka_unit_test_setup(test_write_when_below_the_level_then_nothing, prepare),
        cmocka_unit_test_setup(test_write_when_control_characters_then_escaped, prepare),
        cmocka_unit_test_setup(test_write_when_too_long_then_one_bounded_line_with_dots, prepare),
        cmocka_unit_test_setup(test_write_when_it_fails_then_errno_is_kept_all_the_same, prepare),
        cmocka_unit_test_setup(
            test_write_when_nobody_reads_then_lost_and_counted_and_not_waited_for, prepare),
        cmocka_unit_test_setup(test_write_when_stderr_is_the_journal_then_priority_and_no_name,
                               prepare),
        cmocka_unit_test_setup(test_write_when_journal_is_another_file_then_plain, prepare),
        cmocka_unit_test_setup(test_complain_then_no_role_and_no_word, prepare),
        cmocka_unit_test_setup(test_complain_when_stderr_is_the_journal_then_an_error, prepare),
        cmocka_unit_test_setup(test_open_when_automatic_in_the_background_then_not_stderr, prepare),
        cmocka_unit_test(test_limiter_when_burst_is_used_up_then_one_each_interval),
        cmocka_unit_test(test_limiter_when_quiet_then_no_more_than_the_burst_gathers),
        cmocka_unit_test(test_take_suppressed_then_counts_from_the_last_call),
        cmocka_unit_test_setup(
            test_write_limited_when_lines_were_held_back_then_the_next_says_how_many, prepare),
        cmocka_unit_test_setup(test_write_limited_when_below_the_level_then_costs_nothing, prepare),
    };
    return cmocka_run_group_tests_name("base/log", tests, nullptr, nullptr);
}
