// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// limits.cookie_secret_file: what is in it, and who may read it.

#include "config/cookie_secrets.hh"

#include "config/scratch.hh"
#include "unit.hh"

#include <string>
#include <string_view>
#include <sys/stat.h>

using dotproxy::Config;
using dotproxy::CookieSecrets;

namespace {

constexpr std::string_view one = "e5e973e5a6b2a43f48e7dc849e37bfcf";
constexpr std::string_view other = "445536BCD2513298075A5D379663C962";
constexpr auto right_text = "; give a line or two of 32 hexadecimal digits, such as \"openssl rand "
                            "-hex 16\" writes";
constexpr auto right_mode =
    "; give it mode 0640 and the group of the service, or 0600 and its user";

Scratch scratch; // NOLINT(*-avoid-non-const-global-variables): the tests'

int make_scratch(void** /*state*/) {
    return scratch.make() ? 0 : -1;
}

int remove_scratch(void** /*state*/) {
    scratch.remove();
    return 0;
}

Config naming(const std::string& path) {
    Config config;
    config.limits.cookie_secret_file = path;
    config.places.cookie_secret_file = "file:7: limits.cookie_secret_file";
    return config;
}

/// A configuration with a file of these octets.
Config with(const std::string& text, mode_t mode = 0600) {
    const std::string path = scratch.write("secret", text);
    assert_int_equal(::chmod(path.c_str(), mode), 0);
    return naming(path);
}

/// What is said of the file, behind its name.
std::string error_of(const Config& config) {
    try {
        static_cast<void>(load_cookie_secrets(config));
    } catch (const dotproxy::ConfigError& error) {
        const std::string text = error.what();
        const std::string front =
            "file:7: limits.cookie_secret_file: \"" + config.limits.cookie_secret_file + "\" ";
        return text.starts_with(front) ? text.substr(front.size()) : text;
    }
    return "nothing";
}

void assert_error(const Config& config, std::string wanted, const char* right = "") {
    wanted += right;
    assert_string_equal(error_of(config).c_str(), wanted.c_str());
}

void test_load_when_no_file_is_named_then_nothing(void** /*state*/) {
    assert_false(load_cookie_secrets(Config{}).has_value());
}

// limits 45: as unbound and NSD write it, the first one makes cookies.
void test_load_when_there_are_one_or_two_then_the_first_is_first(void** /*state*/) {
    const auto alone = load_cookie_secrets(with(std::string{one}));
    assert_int_equal(alone->first[0], 0xe5);
    assert_int_equal(alone->first[15], 0xcf);
    assert_false(alone->second.has_value());
    const auto both = load_cookie_secrets(
        with("# made in May\r\n\n  " + std::string{other} + " # new\r\n" + std::string{one} + "\n",
             0640));
    assert_int_equal(both->first[1], 0x55);
    assert_int_equal(both->first[14], 0xc9);
    assert_true(both->second == alone->first);
}

void test_load_when_it_is_no_secret_then_says_in_which_line(void** /*state*/) {
    const std::string good{one};
    for (const std::string& bad : {good.substr(1), good + "0", good.substr(1) + "g", good + good,
                                   good.substr(1) + ' ' + '0', std::string("0x") + good}) {
        assert_error(with("\n" + bad), "line 2 is no secret", right_text);
        assert_error(with(std::string{good}.append("\n").append(bad).append("\n")),
                     "line 2 is no secret", right_text);
    }
    assert_error(with(good + "\n" + good + "\n\n" + good),
                 "line 4 is one secret too many; give the one that makes cookies, and at most one "
                 "that is accepted besides");
    for (const char* const none : {"", "\n", "# ", " \t\r\n#"}) {
        assert_error(with(none), "has no secret", right_text);
    }
    assert_error(with(std::string(5000, ' ') + good), "is too large", right_text);
}

// A secret that everybody reads is none; as with the keys of other programs.
void test_load_when_others_may_use_it_then_error(void** /*state*/) {
    const std::string good{one};
    for (const mode_t mode : {0644U, 0604U, 0666U}) {
        assert_error(with(good, mode), "may be read by everybody", right_mode);
    }
    for (const mode_t mode : {0660U, 0602U, 0620U}) {
        assert_error(with(good, mode), "may be changed by others", right_mode);
    }
    for (const mode_t mode : {0600U, 0640U, 0400U, 0440U}) {
        assert_error(with(good, mode), "nothing");
    }
}

void test_load_when_there_is_no_file_then_error(void** /*state*/) {
    assert_error(naming("/nowhere/secret"), "cannot be read: No such file or directory",
                 right_text);
    assert_error(naming("/"), "is not a regular file", right_text);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_load_when_no_file_is_named_then_nothing),
        cmocka_unit_test(test_load_when_there_are_one_or_two_then_the_first_is_first),
        cmocka_unit_test(test_load_when_it_is_no_secret_then_says_in_which_line),
        cmocka_unit_test(test_load_when_others_may_use_it_then_error),
        cmocka_unit_test(test_load_when_there_is_no_file_then_error),
    };
    return cmocka_run_group_tests_name("config/cookie_secrets", tests, make_scratch,
                                       remove_scratch);
}
